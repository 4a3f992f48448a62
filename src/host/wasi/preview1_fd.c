// Preview 1: the table of descriptors.
#include "preview1.h"

enum {
	STREAM_RIGHTS = P1_RIGHT_FD_FDSTAT_SET_FLAGS | P1_RIGHT_FD_FILESTAT_GET | P1_RIGHT_POLL_FD_READWRITE,
	FILE_RIGHTS = STREAM_RIGHTS | P1_RIGHT_FD_DATASYNC | P1_RIGHT_FD_SEEK | P1_RIGHT_FD_SYNC | P1_RIGHT_FD_TELL | P1_RIGHT_FD_ADVISE | P1_RIGHT_FD_ALLOCATE |
		P1_RIGHT_FD_FILESTAT_SET_SIZE | P1_RIGHT_FD_FILESTAT_SET_TIMES,
	FOLDER_RIGHTS = P1_RIGHT_FD_DATASYNC | P1_RIGHT_FD_SYNC | P1_RIGHT_FD_FDSTAT_SET_FLAGS | P1_RIGHT_PATH_CREATE_DIRECTORY | P1_RIGHT_PATH_CREATE_FILE |
		P1_RIGHT_PATH_LINK_SOURCE | P1_RIGHT_PATH_LINK_TARGET | P1_RIGHT_PATH_OPEN | P1_RIGHT_FD_READDIR | P1_RIGHT_PATH_READLINK | P1_RIGHT_PATH_RENAME_SOURCE |
		P1_RIGHT_PATH_RENAME_TARGET | P1_RIGHT_PATH_FILESTAT_GET | P1_RIGHT_PATH_FILESTAT_SET_TIMES | P1_RIGHT_FD_FILESTAT_GET | P1_RIGHT_FD_FILESTAT_SET_TIMES |
		P1_RIGHT_PATH_SYMLINK | P1_RIGHT_PATH_REMOVE_DIRECTORY | P1_RIGHT_PATH_UNLINK_FILE,
	BELOW_RIGHTS = FOLDER_RIGHTS | FILE_RIGHTS | P1_RIGHT_FD_READ | P1_RIGHT_FD_WRITE,
};

// ---- the table ---------------------------------------------------------------------------------------------------------------------------

static bool is_open(const struct wasi_preview1 *p, uint64_t fd)
{
	return fd < p->n_files && p->files[fd].kind != P1_FREE;
}

static bool grow(struct wasi_preview1 *p)
{
	uint32_t cap = p->cap_files ? p->cap_files * 2 : 16;
	struct p1_file *files = pool_realloc(p->pool, p->files, cap * sizeof *files);
	if (!files)
		return false;
	p->files = files;
	p->cap_files = cap;
	return true;
}

enum p1_errno wasi__p1_file_add(struct wasi_preview1 *p, const struct p1_file *file, uint32_t *ret)
{
	uint32_t fd = p->first_free;
	while (fd < p->n_files && p->files[fd].kind != P1_FREE)
		fd++;
	if (p->max_files && fd >= p->max_files)
		return P1_MFILE;
	if (fd == p->cap_files && !grow(p))
		return P1_NOMEM;
	if (fd == p->n_files)
		p->n_files++;
	p->files[fd] = *file;
	p->first_free = fd + 1;
	*ret = fd;
	return P1_SUCCESS;
}

static void set_free(struct wasi_preview1 *p, uint32_t fd)
{
	p->files[fd] = (struct p1_file){.kind = P1_FREE};
	p->first_free = (uint32_t)min_u64(p->first_free, fd);
}

static void release(struct p1_file *f)
{
	wasi__input_unref(f->in);
	wasi__output_unref(f->out);
	wasi__fs_unref(f->fs);
	wasi__socket_unref(f->socket);
	if (f->list)
		wasi__fs_list_close(f->list->entries);
	pool_free(f->list);
}

static uint64_t stream_rights(uint32_t fd)
{
	return STREAM_RIGHTS | (fd ? P1_RIGHT_FD_WRITE : P1_RIGHT_FD_READ);
}

static bool open_stream(struct wasi_preview1 *p, const struct wasi *w, struct seam_call *c, int fd)
{
	struct p1_file f = {.filetype = wasi__stdio_is_terminal(w->stdio, fd) ? P1_CHARACTER_DEVICE : P1_UNKNOWN};
	uint32_t got;
	f.rights = f.inheriting = stream_rights((uint32_t)fd);
	if (fd == 0)
		f.in = c ? wasi__cli_input(c) : wasi__stdin(w->stdio, p->pool);
	else
		f.out = c ? wasi__cli_output(c, fd) : wasi__stdout(w->stdio, p->pool, fd);
	if (!f.in && !f.out)
		return false;
	f.kind = fd ? P1_OUTPUT : P1_INPUT;
	if (wasi__p1_file_add(p, &f, &got) == P1_SUCCESS)
		return true;
	release(&f);
	return false;
}

static bool open_given(struct wasi_preview1 *p, const struct seam_folder *folder)
{
	struct p1_file f = {.kind = P1_FOLDER, .filetype = P1_DIRECTORY, .rights = FOLDER_RIGHTS, .inheriting = BELOW_RIGHTS, .given = folder};
	uint32_t got;
	f.fs = wasi__fs_granted(p->fs, folder);
	if (f.fs && wasi__p1_file_add(p, &f, &got) == P1_SUCCESS)
		return true;
	wasi__fs_unref(f.fs);
	return false;
}

bool wasi__p1_streams_open(struct wasi_preview1 *p, const struct wasi *w, struct seam_call *c)
{
	return open_stream(p, w, c, 0) && open_stream(p, w, c, 1) && open_stream(p, w, c, 2);
}

bool wasi__p1_folders_open(struct wasi_preview1 *p)
{
	const struct seam_grants *g = p->seam.grants;
	for (uint32_t i = 0; i < g->n_folders; i++)
		if (!open_given(p, &g->folders[i]))
			return false;
	return true;
}

// What the streams and folders that every instance has are like.
static bool is_given(const struct wasi_preview1 *p, uint32_t fd)
{
	const struct seam_grants *g = p->seam.grants;
	const struct p1_file *f = &p->files[fd];
	if (fd < 3)
		return f->kind == (fd ? P1_OUTPUT : P1_INPUT) && !f->flags && f->rights == stream_rights(fd) && f->inheriting == stream_rights(fd);
	return fd - 3 < g->n_folders && f->given == &g->folders[fd - 3] && !f->flags && f->rights == FOLDER_RIGHTS && f->inheriting == BELOW_RIGHTS;
}

bool wasi__preview1_is_fresh(const struct wasi_preview1 *p)
{
	uint32_t given = 3 + p->seam.grants->n_folders;
	bool is = p->n_files >= given;
	for (uint32_t fd = 0; fd < p->n_files && is; fd++)
		is = fd < given ? is_given(p, fd) : p->files[fd].kind == P1_FREE;
	return is;
}

enum p1_errno wasi__p1_add_opened(struct wasi_preview1 *p, struct wasi_fs_descriptor *d, uint16_t flags, uint64_t inheriting, uint32_t *ret)
{
	bool is_folder = wasi__fs_is_folder(d) == 0;
	struct p1_file f = {.kind = is_folder ? P1_FOLDER : P1_FILE, .filetype = is_folder ? P1_DIRECTORY : P1_REGULAR_FILE, .flags = flags, .fs = d};
	uint64_t may = FILE_RIGHTS | (d->read ? P1_RIGHT_FD_READ : 0) | (d->write ? P1_RIGHT_FD_WRITE : 0);
	f.rights = (is_folder ? FOLDER_RIGHTS : may) & inheriting;
	f.inheriting = (is_folder ? BELOW_RIGHTS : may) & inheriting;
	enum p1_errno error = wasi__p1_file_add(p, &f, ret);
	if (error)
		wasi__fs_unref(d);
	return error;
}

void wasi__p1_files_close(struct wasi_preview1 *p)
{
	for (uint32_t fd = 0; fd < p->n_files; fd++)
		release(&p->files[fd]);
	pool_free(p->files);
}

struct p1_file *wasi__p1_file(struct p1_call *c, uint64_t fd, uint64_t rights)
{
	struct p1_file *f = is_open(c->p, fd) ? &c->p->files[fd] : NULL;
	if (!f)
		c->error = P1_BADF;
	else if (~f->rights & rights & (P1_RIGHT_FD_READ | P1_RIGHT_FD_WRITE) || (f->kind == P1_FOLDER && ~(uint64_t)FOLDER_RIGHTS & rights))
		c->error = P1_BADF;  // nothing that could be done with such a one
	else if (~f->rights & rights)
		c->error = P1_NOTCAPABLE;
	else
		return f;
	return NULL;
}

enum seam_result wasi__p1_fd_close(struct p1_call *c, const struct p1_fd_close_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	if (!f)
		return SEAM_OK;
	release(f);
	set_free(c->p, (uint32_t)a->fd);
	return SEAM_OK;
}

enum seam_result wasi__p1_fd_renumber(struct p1_call *c, const struct p1_fd_renumber_args *a)
{
	struct p1_file *from = wasi__p1_file(c, a->fd, 0), *to = wasi__p1_file(c, a->to, 0);
	if (!from || !to || from == to)
		return SEAM_OK;
	release(to);
	*to = *from;
	set_free(c->p, (uint32_t)a->fd);
	return SEAM_OK;
}

// ---- errors ------------------------------------------------------------------------------------------------------------------------------

enum p1_errno wasi__p1_file_error(uint8_t code)
{
	static const uint8_t errors[] = {
#define CODE(name, errno_name) [WASI_FILESYSTEM_TYPES_ERROR_CODE_##name] = P1_##errno_name
		CODE(ACCESS, ACCESS),
		CODE(WOULD_BLOCK, AGAIN),
		CODE(ALREADY, ALREADY),
		CODE(BAD_DESCRIPTOR, BADF),
		CODE(BUSY, BUSY),
		CODE(DEADLOCK, DEADLK),
		CODE(QUOTA, DQUOT),
		CODE(EXIST, EXIST),
		CODE(FILE_TOO_LARGE, FBIG),
		CODE(ILLEGAL_BYTE_SEQUENCE, ILSEQ),
		CODE(IN_PROGRESS, INPROGRESS),
		CODE(INTERRUPTED, INTR),
		CODE(INVALID, INVAL),
		CODE(IO, IO),
		CODE(IS_DIRECTORY, ISDIR),
		CODE(LOOP, LOOP),
		CODE(TOO_MANY_LINKS, MLINK),
		CODE(MESSAGE_SIZE, MSGSIZE),
		CODE(NAME_TOO_LONG, NAMETOOLONG),
		CODE(NO_DEVICE, NODEV),
		CODE(NO_ENTRY, NOENT),
		CODE(NO_LOCK, NOLCK),
		CODE(INSUFFICIENT_MEMORY, NOMEM),
		CODE(INSUFFICIENT_SPACE, NOSPC),
		CODE(NOT_DIRECTORY, NOTDIR),
		CODE(NOT_EMPTY, NOTEMPTY),
		CODE(NOT_RECOVERABLE, NOTRECOVERABLE),
		CODE(UNSUPPORTED, NOTSUP),
		CODE(NO_TTY, NOTTY),
		CODE(NO_SUCH_DEVICE, NXIO),
		CODE(OVERFLOW, OVERFLOW),
		CODE(NOT_PERMITTED, PERM),
		CODE(PIPE, PIPE),
		CODE(READ_ONLY, ROFS),
		CODE(INVALID_SEEK, SPIPE),
		CODE(TEXT_FILE_BUSY, TXTBSY),
		CODE(CROSS_DEVICE, XDEV),
#undef CODE
	};
	return code < ARRAY_LEN(errors) ? errors[code] : P1_IO;
}

enum p1_errno wasi__p1_stream_error(struct wasi_error error)
{
	if (error.of_sockets && error.socket_code == WASI_SOCKETS_NETWORK_ERROR_CODE_CONNECTION_RESET)
		return P1_CONNRESET;
	if (error.of_sockets && error.socket_code == WASI_SOCKETS_NETWORK_ERROR_CODE_TIMEOUT)
		return P1_TIMEDOUT;
	return error.of_files ? wasi__p1_file_error(error.file_code) : P1_IO;
}

// ---- what a descriptor is ----------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_fd_fdstat_get(struct p1_call *c, const struct p1_fd_fdstat_get_args *a)
{
	const struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	if (!f)
		return SEAM_OK;
	struct p1_fdstat stat = {.filetype = f->filetype, .flags = f->flags, .rights = f->rights, .inheriting = f->inheriting};
	return wasi__p1_put(c, a->stat, &stat, sizeof stat, _Alignof(struct p1_fdstat));
}

enum seam_result wasi__p1_fd_fdstat_set_flags(struct p1_call *c, const struct p1_fd_fdstat_set_flags_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, P1_RIGHT_FD_FDSTAT_SET_FLAGS);
	if (!f)
		return SEAM_OK;
	if ((a->flags ^ f->flags) & ~(uint64_t)(P1_APPEND | P1_NONBLOCK))
		return wasi__p1_fail(c, P1_INVAL);
	f->flags = (uint16_t)a->flags;
	return SEAM_OK;
}

// Takes rights away, and gives none.
enum seam_result wasi__p1_fd_fdstat_set_rights(struct p1_call *c, const struct p1_fd_fdstat_set_rights_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	if (!f)
		return SEAM_OK;
	if (a->fs_rights_base & ~f->rights || a->fs_rights_inheriting & ~f->inheriting)
		return wasi__p1_fail(c, P1_NOTCAPABLE);
	f->rights = a->fs_rights_base;
	f->inheriting = a->fs_rights_inheriting;
	return SEAM_OK;
}
