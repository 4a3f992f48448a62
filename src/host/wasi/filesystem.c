// wasi:filesystem 0.2 over fs.c: descriptors, entry streams, preopens.
//
// Where wasmtime and the text of the interface differ about what a read-only folder answers (`not-permitted`, `read-only`), guests get the former: programs
// know it from there.
#include <errno.h>
#include <limits.h>

#include "fs_int.h"
#include "wasi_provider.h"

typedef struct wasi_result_void_filesystem_types_error_code void_result;

static struct wasi_fs_descriptor *descriptor(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_filesystem_types_descriptor_resource, rep);
}

// The end of an operation that gives nothing: `r` as it came, or the result.
static enum seam_result settle(enum seam_result r, int why, void_result *ret)
{
	ret->is_err = r == SEAM_OK && why < 0;
	if (ret->is_err)
		ret->err = wasi__file_code(-why);
	return r;
}

// Of one that gives something: true when there is an error.
#define FAILED(ret, why) ((ret)->is_err = (why) < 0, (ret)->is_err ? ((ret)->err = wasi__file_code(-(why)), true) : false)

// ---- preopens --------------------------------------------------------------------------------------------------------------------------

struct wasi_fs *wasi__fs_of(struct wasi_state *s)
{
	if (s->fs)
		return s->fs;
	s->fs = SEAM_MEM_NEW(s->instance, struct wasi_fs);
	const struct seam_instance *i = canon_instance_user(s->instance);
	if (s->fs)
		*s->fs = (struct wasi_fs){.wasi = s->wasi, .memory = canon_instance_pool(s->instance), .grants = i->grants};
	return s->fs;
}

void wasi_filesystem_types_descriptor_drop(struct canon_instance *i, void *object)
{
	wasi__fs_unref(object);
}

// An image has folders that were granted, and nothing that was opened in them.
struct wasi_fs_descriptor *wasi__fs_remake(struct canon_instance *i, const struct wasi_fs_descriptor *d)
{
	const struct seam_grants *g = d->fs->grants;
	struct wasi_state *s = d->is_granted ? seam_instance_state(i, &d->fs->wasi->seam) : NULL;
	struct wasi_fs *fs = s ? wasi__fs_of(s) : NULL;
	for (uint32_t k = 0; fs && k < g->n_folders; k++)
		if (g->folders[k].fd == d->fd)
			return wasi__fs_granted(fs, &g->folders[k]);
	return NULL;
}

bool wasi_filesystem_types_descriptor_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = wasi__fs_remake(i, object);
	return *ret != NULL;
}

static bool give_descriptor(struct seam_call *c, struct wasi_fs_descriptor *d, uint32_t *ret)
{
	if (d && seam_resource_new(c, &wasi_filesystem_types_descriptor_class, d, ret))
		return true;
	if (!d)
		seam_no_memory(c);
	wasi__fs_unref(d);
	return false;
}

enum seam_result wasi_filesystem_preopens_get_directories(struct seam_call *c, struct wit_list *ret)
{
	const struct seam_grants *g = c->instance->grants;
	struct wasi_state *s = g->n_folders ? seam_state(c) : NULL;
	struct wasi_fs *fs = s ? wasi__fs_of(s) : NULL;
	if (g->n_folders && !fs)
		return seam_no_memory(c);
	struct wasi_tuple2_own_filesystem_types_descriptor_string *list =
		SEAM_ARRAY(c, struct wasi_tuple2_own_filesystem_types_descriptor_string, g->n_folders);
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < g->n_folders; k++) {
		if (!give_descriptor(c, wasi__fs_granted(fs, &g->folders[k]), &list[k].f0))
			return SEAM_TRAP;
		list[k].f1 = (struct wit_string){g->folders[k].name.ptr, g->folders[k].name.len};
	}
	*ret = (struct wit_list){list, g->n_folders};
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_filesystem_error_code(struct seam_call *c, const struct wasi_filesystem_types_filesystem_error_code_args *args,
	struct wasi_option_filesystem_types_error_code *ret)
{
	const struct wasi_error *error = seam_resource_get(c, &wasi_io_error_error_resource, args->err);
	ret->is_some = error->of_files;
	ret->some = error->file_code;
	return SEAM_OK;
}

// ---- streams ---------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem_types_descriptor_read_via_stream(struct seam_call *c, const struct wasi_filesystem_types_descriptor_read_via_stream_args *args,
	struct wasi_result_own_io_streams_input_stream_filesystem_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	if (FAILED(ret, d->type == SYS_FILE_FOLDER ? -EISDIR : d->read ? 0
																   : -EBADF))
		return SEAM_OK;
	return wasi__input_handle(c, wasi__fs_input(d, c->task->loop, args->offset), &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result give_output(struct seam_call *c, uint32_t self, uint64_t offset, bool append,
	struct wasi_result_own_io_streams_output_stream_filesystem_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, self);
	if (FAILED(ret, wasi__fs_may_write(d)))
		return SEAM_OK;
	return wasi__output_handle(c, wasi__fs_output(d, c->task->loop, offset, append), &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_filesystem_types_descriptor_write_via_stream(struct seam_call *c,
	const struct wasi_filesystem_types_descriptor_write_via_stream_args *args, struct wasi_result_own_io_streams_output_stream_filesystem_types_error_code *ret)
{
	return give_output(c, args->self, args->offset, false, ret);
}

enum seam_result wasi_filesystem_types_descriptor_append_via_stream(struct seam_call *c,
	const struct wasi_filesystem_types_descriptor_append_via_stream_args *args, struct wasi_result_own_io_streams_output_stream_filesystem_types_error_code *ret)
{
	return give_output(c, args->self, 0, true, ret);
}

// ---- of what is open -------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem_types_descriptor_advise(struct seam_call *c, const struct wasi_filesystem_types_descriptor_advise_args *args, void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_advise(c, descriptor(c, args->self), args->offset, args->length, (enum sys_advice)args->advice, &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_sync_data(struct seam_call *c, const struct wasi_filesystem_types_descriptor_sync_data_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_sync(c, descriptor(c, args->self), true, &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_sync(struct seam_call *c, const struct wasi_filesystem_types_descriptor_sync_args *args, void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_sync(c, descriptor(c, args->self), false, &why);
	return settle(r, why, ret);
}

uint8_t wasi__fs_flags(const struct wasi_fs_descriptor *d)
{
	bool may_mutate = d->type == SYS_FILE_FOLDER && d->may_change;
	unsigned flags = (d->read ? WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_READ : 0) | (d->write ? WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_WRITE : 0);
	flags |= may_mutate ? WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_MUTATE_DIRECTORY : 0;
	flags |= d->sync ? WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_FILE_INTEGRITY_SYNC : 0;
	flags |= d->data_sync ? WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_DATA_INTEGRITY_SYNC : 0;
	return (uint8_t)flags;
}

enum seam_result wasi_filesystem_types_descriptor_get_flags(struct seam_call *c, const struct wasi_filesystem_types_descriptor_get_flags_args *args,
	struct wasi_result_filesystem_types_descriptor_flags_filesystem_types_error_code *ret)
{
	ret->ok = wasi__fs_flags(descriptor(c, args->self));
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_descriptor_get_type(struct seam_call *c, const struct wasi_filesystem_types_descriptor_get_type_args *args,
	struct wasi_result_filesystem_types_descriptor_type_filesystem_types_error_code *ret)
{
	ret->ok = (uint8_t)descriptor(c, args->self)->type;
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_descriptor_set_size(struct seam_call *c, const struct wasi_filesystem_types_descriptor_set_size_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_resize(c, descriptor(c, args->self), args->size, &why);
	return settle(r, why, ret);
}

// What can't be a time of a file is refused with its nanoseconds.
static struct sys_time time_of(const struct wasi_filesystem_types_new_timestamp *t)
{
	if (t->tag == WASI_FILESYSTEM_TYPES_NEW_TIMESTAMP_NO_CHANGE)
		return (struct sys_time){0, SYS_TIME_KEEP};
	if (t->tag == WASI_FILESYSTEM_TYPES_NEW_TIMESTAMP_NOW)
		return (struct sys_time){0, SYS_TIME_NOW};
	bool is_time = t->timestamp.seconds <= INT64_MAX && t->timestamp.nanoseconds < SECOND;
	return (struct sys_time){(int64_t)t->timestamp.seconds, is_time ? t->timestamp.nanoseconds : UINT32_MAX};
}

enum seam_result wasi_filesystem_types_descriptor_set_times(struct seam_call *c, const struct wasi_filesystem_types_descriptor_set_times_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r =
		wasi__fs_set_times(c, descriptor(c, args->self), time_of(&args->data_access_timestamp), time_of(&args->data_modification_timestamp), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_read(struct seam_call *c, const struct wasi_filesystem_types_descriptor_read_args *args,
	struct wasi_result_tuple2_list_u8_bool_filesystem_types_error_code *ret)
{
	size_t want = min_u64(args->length, WASI_FS_PIECE), n;
	int why;
	uint8_t *bytes = seam_alloc(c, want ? want : 1, 1);
	if (!bytes)
		return SEAM_TRAP;
	enum seam_result r = wasi__fs_read(c, descriptor(c, args->self), bytes, want, args->offset, &n, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	ret->ok.f0 = (struct wit_list){bytes, n};
	ret->ok.f1 = n == 0 && want;
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_descriptor_write(struct seam_call *c, const struct wasi_filesystem_types_descriptor_write_args *args,
	struct wasi_result_u64_filesystem_types_error_code *ret)
{
	size_t n;
	int why;
	enum seam_result r = wasi__fs_write(c, descriptor(c, args->self), seam_list_bytes(args->buffer), args->offset, false, &n, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	ret->ok = n;
	return SEAM_OK;
}

// ---- attributes ------------------------------------------------------------------------------------------------------------------------

static struct wasi_option_clocks_wall_clock_datetime datetime(struct sys_time t)
{
	if (t.seconds < 0)
		return (struct wasi_option_clocks_wall_clock_datetime){0};
	return (struct wasi_option_clocks_wall_clock_datetime){true, {(uint64_t)t.seconds, t.nanoseconds}};
}

// Types have the order of the interface's.
_Static_assert((int)SYS_FILE_SOCKET == WASI_FILESYSTEM_TYPES_DESCRIPTOR_TYPE_SOCKET && (int)SYS_FILE_FOLDER == WASI_FILESYSTEM_TYPES_DESCRIPTOR_TYPE_DIRECTORY,
	"");

static struct wasi_filesystem_types_descriptor_stat stat_of(const struct sys_stat *st)
{
	return (struct wasi_filesystem_types_descriptor_stat){.type = (uint8_t)st->type,
		.link_count = st->links,
		.size = st->size,
		.data_access_timestamp = datetime(st->accessed),
		.data_modification_timestamp = datetime(st->modified),
		.status_change_timestamp = datetime(st->changed)};
}

static bool follows(uint8_t path_flags)
{
	return path_flags & WASI_FILESYSTEM_TYPES_PATH_FLAGS_SYMLINK_FOLLOW;
}

enum seam_result wasi_filesystem_types_descriptor_stat(struct seam_call *c, const struct wasi_filesystem_types_descriptor_stat_args *args,
	struct wasi_result_filesystem_types_descriptor_stat_filesystem_types_error_code *ret)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat(c, descriptor(c, args->self), &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = stat_of(&st);
	return r;
}

enum seam_result wasi_filesystem_types_descriptor_stat_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_stat_at_args *args,
	struct wasi_result_filesystem_types_descriptor_stat_filesystem_types_error_code *ret)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat_at(c, descriptor(c, args->self), seam_slice(args->path), follows(args->path_flags), &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = stat_of(&st);
	return r;
}

enum seam_result wasi_filesystem_types_descriptor_metadata_hash(struct seam_call *c, const struct wasi_filesystem_types_descriptor_metadata_hash_args *args,
	struct wasi_result_filesystem_types_metadata_hash_value_filesystem_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat(c, d, &st, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	struct hash128 h = wasi__fs_hash(d->fs, &st);
	ret->ok = (struct wasi_filesystem_types_metadata_hash_value){h.low, h.high};
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_descriptor_metadata_hash_at(struct seam_call *c,
	const struct wasi_filesystem_types_descriptor_metadata_hash_at_args *args,
	struct wasi_result_filesystem_types_metadata_hash_value_filesystem_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat_at(c, d, seam_slice(args->path), follows(args->path_flags), &st, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	struct hash128 h = wasi__fs_hash(d->fs, &st);
	ret->ok = (struct wasi_filesystem_types_metadata_hash_value){h.low, h.high};
	return SEAM_OK;
}

enum seam_result wasi_filesystem_types_descriptor_is_same_object(struct seam_call *c, const struct wasi_filesystem_types_descriptor_is_same_object_args *args,
	bool *ret)
{
	return wasi__fs_is_same(c, descriptor(c, args->self), descriptor(c, args->other), ret);
}

enum seam_result wasi_filesystem_types_descriptor_set_times_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_set_times_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_set_times_at(c, descriptor(c, args->self), seam_slice(args->path), follows(args->path_flags),
		time_of(&args->data_access_timestamp), time_of(&args->data_modification_timestamp), &why);
	return settle(r, why, ret);
}

// ---- entries ---------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem_types_descriptor_create_directory_at(struct seam_call *c,
	const struct wasi_filesystem_types_descriptor_create_directory_at_args *args, void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_mkdir(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_remove_directory_at(struct seam_call *c,
	const struct wasi_filesystem_types_descriptor_remove_directory_at_args *args, void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_rmdir(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_unlink_file_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_unlink_file_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_unlink(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_symlink_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_symlink_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_symlink(c, seam_slice(args->old_path), descriptor(c, args->self), seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

// A link at the end of the old path is never followed; who asks for that is told.
enum seam_result wasi_filesystem_types_descriptor_link_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_link_at_args *args,
	void_result *ret)
{
	int why = -EINVAL;
	struct wasi_fs_descriptor *from = descriptor(c, args->self), *to = descriptor(c, args->new_descriptor);
	if (follows(args->old_path_flags))
		return settle(SEAM_OK, why, ret);
	enum seam_result r = wasi__fs_link(c, from, seam_slice(args->old_path), to, seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_rename_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_rename_at_args *args,
	void_result *ret)
{
	int why;
	struct wasi_fs_descriptor *from = descriptor(c, args->self), *to = descriptor(c, args->new_descriptor);
	enum seam_result r = wasi__fs_rename(c, from, seam_slice(args->old_path), to, seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem_types_descriptor_readlink_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_readlink_at_args *args,
	struct wasi_result_string_filesystem_types_error_code *ret)
{
	size_t n;
	int why;
	char *text = seam_alloc(c, PATH_MAX, 1);
	if (!text)
		return SEAM_TRAP;
	enum seam_result r = wasi__fs_readlink(c, descriptor(c, args->self), seam_slice(args->path), text, &n, &why);
	if (r == SEAM_OK && why == 0 && !utf8_is_valid(slice_of(text, n)))
		why = -EILSEQ;
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = (struct wit_string){(const uint8_t *)text, n};
	return r;
}

// ---- open ------------------------------------------------------------------------------------------------------------------------------

static uint32_t how_of(uint8_t path_flags, uint8_t open_flags, uint8_t flags)
{
	static const struct {
		uint8_t flag;
		uint32_t how;
	} opens[] = {{WASI_FILESYSTEM_TYPES_OPEN_FLAGS_CREATE, SYS_OPEN_CREATE}, {WASI_FILESYSTEM_TYPES_OPEN_FLAGS_DIRECTORY, SYS_OPEN_FOLDER},
		{WASI_FILESYSTEM_TYPES_OPEN_FLAGS_EXCLUSIVE, SYS_OPEN_EXCLUSIVE}, {WASI_FILESYSTEM_TYPES_OPEN_FLAGS_TRUNCATE, SYS_OPEN_TRUNCATE}},
	  kinds[] = {{WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_READ, SYS_OPEN_READ}, {WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_WRITE, SYS_OPEN_WRITE},
		  {WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_FILE_INTEGRITY_SYNC, SYS_OPEN_SYNC},
		  {WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_DATA_INTEGRITY_SYNC, SYS_OPEN_DATA_SYNC},
		  {WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_REQUESTED_WRITE_SYNC, SYS_OPEN_SYNC}};
	uint32_t how = follows(path_flags) ? 0 : SYS_OPEN_NO_FOLLOW;
	for (size_t i = 0; i < ARRAY_LEN(opens); i++)
		how |= open_flags & opens[i].flag ? opens[i].how : 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		how |= flags & kinds[i].flag ? kinds[i].how : 0;
	return how & SYS_OPEN_WRITE ? how : how | SYS_OPEN_READ;  // what is opened for neither can be read
}

enum seam_result wasi__fs_open_at(struct seam_call *c, struct wasi_fs_descriptor *d, uint8_t path_flags, struct slice path, uint8_t open_flags, uint8_t flags,
	struct wasi_fs_descriptor **ret, int *ret_why)
{
	uint32_t how = how_of(path_flags, open_flags, flags);
	*ret_why = 0;
	if (how & SYS_OPEN_FOLDER && how & (SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE | SYS_OPEN_TRUNCATE))
		*ret_why = -EINVAL;
	else if (flags & WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_MUTATE_DIRECTORY && !d->may_change)
		*ret_why = -EPERM;
	return *ret_why ? SEAM_OK : wasi__fs_open(c, d, path, how, ret, ret_why);
}

enum seam_result wasi_filesystem_types_descriptor_open_at(struct seam_call *c, const struct wasi_filesystem_types_descriptor_open_at_args *args,
	struct wasi_result_own_filesystem_types_descriptor_filesystem_types_error_code *ret)
{
	struct wasi_fs_descriptor *opened = NULL;
	int why;
	enum seam_result r =
		wasi__fs_open_at(c, descriptor(c, args->self), args->path_flags, seam_slice(args->path), args->open_flags, args->flags, &opened, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	return give_descriptor(c, opened, &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

// ---- lists -----------------------------------------------------------------------------------------------------------------------------

void wasi_filesystem_types_directory_entry_stream_drop(struct canon_instance *i, void *object)
{
	wasi__fs_list_close(object);
}

enum seam_result wasi_filesystem_types_descriptor_read_directory(struct seam_call *c, const struct wasi_filesystem_types_descriptor_read_directory_args *args,
	struct wasi_result_own_filesystem_types_directory_entry_stream_filesystem_types_error_code *ret)
{
	struct wasi_fs_list *list;
	int why;
	enum seam_result r = wasi__fs_list_open(c, descriptor(c, args->self), &list, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	if (seam_resource_new(c, &wasi_filesystem_types_directory_entry_stream_class, list, &ret->ok))
		return SEAM_OK;
	wasi__fs_list_close(list);
	return SEAM_TRAP;
}

static bool is_dots(struct slice name)
{
	return slice_eq_str(name, ".") || slice_eq_str(name, "..");
}

enum seam_result wasi_filesystem_types_directory_entry_stream_read_directory_entry(struct seam_call *c,
	const struct wasi_filesystem_types_directory_entry_stream_read_directory_entry_args *args,
	struct wasi_result_option_filesystem_types_directory_entry_filesystem_types_error_code *ret)
{
	struct wasi_fs_list *list = seam_resource_get(c, &wasi_filesystem_types_directory_entry_stream_resource, args->self);
	struct sys_entry e;
	int why;
	do {
		enum seam_result r = wasi__fs_list_next(c, list, &e, &why);
		if (r != SEAM_OK)
			return r;
	} while (why == 0 && is_dots(e.name));
	if (why == 0 && !utf8_is_valid(e.name))
		why = -EILSEQ;
	if (FAILED(ret, why))
		return SEAM_OK;
	ret->ok.is_some = e.name.len != 0;
	ret->ok.some.type = (uint8_t)e.type;
	return seam_string(c, e.name, &ret->ok.some.name) ? SEAM_OK : SEAM_TRAP;
}
