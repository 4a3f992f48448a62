// wasi:filesystem 0.3 over fs.c: another face of what filesystem.c has. Streams of bytes are the files' own; entries come as a stream of values, read by a chore.
#include <errno.h>
#include <limits.h>

#include "end_int.h"
#include "fs_int.h"
#include "wasi_provider.h"

typedef struct wasi_result_void_filesystem3_types_error_code void_result;

// ---- codes -----------------------------------------------------------------------------------------------------------------------------

// Those of 0.2 but would-block, in the same order: what is too much at the moment is busy here.
_Static_assert(WASI_FILESYSTEM3_TYPES_ERROR_CODE_ACCESS == WASI_FILESYSTEM_TYPES_ERROR_CODE_ACCESS && WASI_FILESYSTEM_TYPES_ERROR_CODE_WOULD_BLOCK == 1 &&
		WASI_FILESYSTEM3_TYPES_ERROR_CODE_ALREADY == WASI_FILESYSTEM_TYPES_ERROR_CODE_ALREADY - 1 &&
		WASI_FILESYSTEM3_TYPES_ERROR_CODE_CROSS_DEVICE == WASI_FILESYSTEM_TYPES_ERROR_CODE_CROSS_DEVICE - 1,
	"");
static uint8_t code_of(uint8_t code)
{
	if (code == WASI_FILESYSTEM_TYPES_ERROR_CODE_WOULD_BLOCK)
		return WASI_FILESYSTEM3_TYPES_ERROR_CODE_BUSY;
	return code > WASI_FILESYSTEM_TYPES_ERROR_CODE_WOULD_BLOCK ? (uint8_t)(code - 1) : code;
}

static struct wasi_filesystem3_types_error_code error_of(int errnum)
{
	return (struct wasi_filesystem3_types_error_code){.tag = code_of(wasi__file_code(errnum))};
}

static size_t ended(void *into, const struct wasi_error *why)
{
	void_result *r = into;
	r->is_err = why != NULL;
	if (why)
		r->err.tag = why->of_files ? code_of(why->file_code) : WASI_FILESYSTEM3_TYPES_ERROR_CODE_IO;
	return sizeof *r;
}

static struct wasi_fs_descriptor *descriptor(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_filesystem3_types_descriptor_resource, rep);
}

// The end of an operation that gives nothing: `r` as it came, or the result.
static enum seam_result settle(enum seam_result r, int why, void_result *ret)
{
	ret->is_err = r == SEAM_OK && why < 0;
	if (ret->is_err)
		ret->err = error_of(-why);
	return r;
}

// Of one that gives something: true when there is an error.
#define FAILED(ret, why) ((ret)->is_err = (why) < 0, (ret)->is_err ? ((ret)->err = error_of(-(why)), true) : false)

// ---- preopens --------------------------------------------------------------------------------------------------------------------------

void wasi_filesystem3_types_descriptor_drop(struct canon_instance *i, void *object)
{
	wasi__fs_unref(object);
}

bool wasi_filesystem3_types_descriptor_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = wasi__fs_remake(i, object);
	return *ret != NULL;
}

static bool give_descriptor(struct seam_call *c, struct wasi_fs_descriptor *d, uint32_t *ret)
{
	if (d && seam_resource_new(c, &wasi_filesystem3_types_descriptor_class, d, ret))
		return true;
	if (!d)
		seam_no_memory(c);
	wasi__fs_unref(d);
	return false;
}

enum seam_result wasi_filesystem3_preopens_get_directories(struct seam_call *c, struct wit_list *ret)
{
	const struct seam_grants *g = c->instance->grants;
	struct wasi_state *s = g->n_folders ? seam_state(c) : NULL;
	struct wasi_fs *fs = s ? wasi__fs_of(s) : NULL;
	if (g->n_folders && !fs)
		return seam_no_memory(c);
	struct wasi_tuple2_own_filesystem3_types_descriptor_string *list =
		SEAM_ARRAY(c, struct wasi_tuple2_own_filesystem3_types_descriptor_string, g->n_folders);
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

// ---- streams of bytes ------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem3_types_descriptor_read_via_stream(struct seam_call *c,
	const struct wasi_filesystem3_types_descriptor_read_via_stream_args *args,
	struct wasi_tuple2_stream_u8_future_result_void_filesystem3_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	const struct wit_type *tuple = c->func->type->result;
	int why = d->type == SYS_FILE_FOLDER ? EISDIR : d->read ? 0
															: EBADF;
	if (why) {
		struct wasi_error error = wasi__file_error(why);
		return wasi__flow_in_failed(c, tuple, ended, &error, &ret->f0, &ret->f1);
	}
	return wasi__flow_in(c, wasi__fs_input(d, c->task->loop, args->offset), tuple->fields[1].type, ended, &ret->f0, &ret->f1);
}

static enum seam_result write_via_stream(struct seam_call *c, uint32_t self, uint32_t data, uint64_t offset, bool append, uint32_t *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, self);
	const struct wit_type *future = c->func->type->result;
	int why = wasi__fs_may_write(d);
	if (why) {
		struct wasi_error error = wasi__file_error(-why);
		return wasi__flow_out_failed(c, data, future, ended, &error, ret);
	}
	return wasi__flow_out(c, data, wasi__fs_output(d, c->task->loop, offset, append), future, ended, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_write_via_stream(struct seam_call *c,
	const struct wasi_filesystem3_types_descriptor_write_via_stream_args *args, uint32_t *ret)
{
	return write_via_stream(c, args->self, args->data, args->offset, false, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_append_via_stream(struct seam_call *c,
	const struct wasi_filesystem3_types_descriptor_append_via_stream_args *args, uint32_t *ret)
{
	return write_via_stream(c, args->self, args->data, 0, true, ret);
}

static bool follows(uint8_t path_flags)
{
	return path_flags & WASI_FILESYSTEM3_TYPES_PATH_FLAGS_SYMLINK_FOLLOW;
}

// ---- of what is open -------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem3_types_descriptor_advise(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_advise_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_advise(c, descriptor(c, args->self), args->offset, args->length, (enum sys_advice)args->advice, &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_sync_data(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_sync_data_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_sync(c, descriptor(c, args->self), true, &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_sync(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_sync_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_sync(c, descriptor(c, args->self), false, &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_get_flags(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_get_flags_args *args,
	struct wasi_result_filesystem3_types_descriptor_flags_filesystem3_types_error_code *ret)
{
	const struct wasi_fs_descriptor *d = descriptor(c, args->self);
	ret->ok = wasi__fs_flags(d);
	if (!d->is_granted && !d->mutates)
		ret->ok &= (uint8_t)~WASI_FILESYSTEM3_TYPES_DESCRIPTOR_FLAGS_MUTATE_DIRECTORY;
	return SEAM_OK;
}

// Types have the order of the system's, which begins with one that is unknown.
_Static_assert((int)SYS_FILE_SOCKET == WASI_FILESYSTEM3_TYPES_DESCRIPTOR_TYPE_SOCKET + 1 &&
		(int)SYS_FILE_FOLDER == WASI_FILESYSTEM3_TYPES_DESCRIPTOR_TYPE_DIRECTORY + 1,
	"");
static struct wasi_filesystem3_types_descriptor_type type_of(enum sys_file_type t)
{
	return (struct wasi_filesystem3_types_descriptor_type){.tag = t ? (uint8_t)(t - 1) : WASI_FILESYSTEM3_TYPES_DESCRIPTOR_TYPE_OTHER};
}

enum seam_result wasi_filesystem3_types_descriptor_get_type(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_get_type_args *args,
	struct wasi_result_filesystem3_types_descriptor_type_filesystem3_types_error_code *ret)
{
	ret->ok = type_of(descriptor(c, args->self)->type);
	return SEAM_OK;
}

enum seam_result wasi_filesystem3_types_descriptor_set_size(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_set_size_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_resize(c, descriptor(c, args->self), args->size, &why);
	return settle(r, why, ret);
}

static struct sys_time time_of(const struct wasi_filesystem3_types_new_timestamp *t)
{
	if (t->tag == WASI_FILESYSTEM3_TYPES_NEW_TIMESTAMP_NO_CHANGE)
		return (struct sys_time){0, SYS_TIME_KEEP};
	if (t->tag == WASI_FILESYSTEM3_TYPES_NEW_TIMESTAMP_NOW)
		return (struct sys_time){0, SYS_TIME_NOW};
	return (struct sys_time){t->timestamp.seconds, t->timestamp.nanoseconds < SECOND ? t->timestamp.nanoseconds : UINT32_MAX};
}

enum seam_result wasi_filesystem3_types_descriptor_set_times(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_set_times_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_set_times(c, descriptor(c, args->self),
		time_of(&args->data_access_timestamp), time_of(&args->data_modification_timestamp), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_set_times_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_set_times_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_set_times_at(c, descriptor(c, args->self), seam_slice(args->path), follows(args->path_flags),
		time_of(&args->data_access_timestamp), time_of(&args->data_modification_timestamp), &why);
	return settle(r, why, ret);
}

// ---- attributes ------------------------------------------------------------------------------------------------------------------------

static struct wasi_option_clocks3_system_clock_instant instant(struct sys_time t)
{
	return (struct wasi_option_clocks3_system_clock_instant){true, {t.seconds, t.nanoseconds}};
}

static struct wasi_filesystem3_types_descriptor_stat stat_of(const struct sys_stat *st)
{
	return (struct wasi_filesystem3_types_descriptor_stat){.type = type_of(st->type),
		.link_count = st->links,
		.size = st->size,
		.data_access_timestamp = instant(st->accessed),
		.data_modification_timestamp = instant(st->modified),
		.status_change_timestamp = instant(st->changed)};
}

enum seam_result wasi_filesystem3_types_descriptor_stat(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_stat_args *args,
	struct wasi_result_filesystem3_types_descriptor_stat_filesystem3_types_error_code *ret)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat(c, descriptor(c, args->self), &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = stat_of(&st);
	return r;
}

enum seam_result wasi_filesystem3_types_descriptor_stat_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_stat_at_args *args,
	struct wasi_result_filesystem3_types_descriptor_stat_filesystem3_types_error_code *ret)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat_at(c, descriptor(c, args->self), seam_slice(args->path), follows(args->path_flags), &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = stat_of(&st);
	return r;
}

static struct wasi_filesystem3_types_metadata_hash_value hash_of(const struct wasi_fs_descriptor *d, const struct sys_stat *st)
{
	struct hash128 h = wasi__fs_hash(d->fs, st);
	return (struct wasi_filesystem3_types_metadata_hash_value){h.low, h.high};
}

enum seam_result wasi_filesystem3_types_descriptor_metadata_hash(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_metadata_hash_args *args,
	struct wasi_result_filesystem3_types_metadata_hash_value_filesystem3_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat(c, d, &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = hash_of(d, &st);
	return r;
}

enum seam_result wasi_filesystem3_types_descriptor_metadata_hash_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_metadata_hash_at_args *args,
	struct wasi_result_filesystem3_types_metadata_hash_value_filesystem3_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__fs_stat_at(c, d, seam_slice(args->path), follows(args->path_flags), &st, &why);
	if (r == SEAM_OK && !FAILED(ret, why))
		ret->ok = hash_of(d, &st);
	return r;
}

enum seam_result wasi_filesystem3_types_descriptor_is_same_object(struct seam_call *c,
	const struct wasi_filesystem3_types_descriptor_is_same_object_args *args, bool *ret)
{
	return wasi__fs_is_same(c, descriptor(c, args->self), descriptor(c, args->other), ret);
}

// ---- entries ---------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_filesystem3_types_descriptor_create_directory_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_create_directory_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_mkdir(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_remove_directory_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_remove_directory_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_rmdir(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_unlink_file_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_unlink_file_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_unlink(c, descriptor(c, args->self), seam_slice(args->path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_symlink_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_symlink_at_args *args,
	void_result *ret)
{
	int why;
	enum seam_result r = wasi__fs_symlink(c, seam_slice(args->old_path), descriptor(c, args->self), seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

// A link at the end of the old path is never followed; who asks for that is told.
enum seam_result wasi_filesystem3_types_descriptor_link_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_link_at_args *args,
	void_result *ret)
{
	int why;
	struct wasi_fs_descriptor *from = descriptor(c, args->self), *to = descriptor(c, args->new_descriptor);
	if (follows(args->old_path_flags))
		return settle(SEAM_OK, -EINVAL, ret);
	enum seam_result r = wasi__fs_link(c, from, seam_slice(args->old_path), to, seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_rename_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_rename_at_args *args,
	void_result *ret)
{
	int why;
	struct wasi_fs_descriptor *from = descriptor(c, args->self), *to = descriptor(c, args->new_descriptor);
	enum seam_result r = wasi__fs_rename(c, from, seam_slice(args->old_path), to, seam_slice(args->new_path), &why);
	return settle(r, why, ret);
}

enum seam_result wasi_filesystem3_types_descriptor_readlink_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_readlink_at_args *args,
	struct wasi_result_string_filesystem3_types_error_code *ret)
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

// What is created is also written to, and read where nothing else was said, as other hosts have it.
static uint8_t flags_of(const struct wasi_filesystem3_types_descriptor_open_at_args *args)
{
	enum { READ = WASI_FILESYSTEM3_TYPES_DESCRIPTOR_FLAGS_READ, WRITE = WASI_FILESYSTEM3_TYPES_DESCRIPTOR_FLAGS_WRITE };
	bool creates = args->open_flags & WASI_FILESYSTEM3_TYPES_OPEN_FLAGS_CREATE;
	return creates && !(args->flags & WRITE) ? (uint8_t)(args->flags | READ | WRITE) : args->flags;
}

enum seam_result wasi_filesystem3_types_descriptor_open_at(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_open_at_args *args,
	struct wasi_result_own_filesystem3_types_descriptor_filesystem3_types_error_code *ret)
{
	struct wasi_fs_descriptor *opened = NULL;
	int why;
	enum seam_result r =
		wasi__fs_open_at(c, descriptor(c, args->self), args->path_flags, seam_slice(args->path), args->open_flags, flags_of(args), &opened, &why);
	if (r != SEAM_OK || FAILED(ret, why))
		return r;
	opened->mutates = args->flags & WASI_FILESYSTEM3_TYPES_DESCRIPTOR_FLAGS_MUTATE_DIRECTORY;
	return give_descriptor(c, opened, &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

// ---- a folder as a stream --------------------------------------------------------------------------------------------------------------

struct listing {
	struct canon_end end;
	struct wasi_promise *result;
	struct wasi_fs_names *names;
	struct loop *loop;
	struct wasi_waiter waiter;
	struct loop_job job;
};

static void listing_free(struct listing *l)
{
	wasi__event_unwatch(&l->waiter);
	loop_job_cancel(&l->job);
	wasi__fs_names_free(l->names);
	seam_mem_free(l);
}

static void listing_end(struct listing *l, int why)
{
	void_result result = {.is_err = why < 0};
	if (why < 0)
		result.err = error_of(-why);
	canon_end_drop(&l->end);
	wasi__promise_resolve(&l->result, &result, sizeof result);
	listing_free(l);
}

static void on_names(struct wasi_waiter *w)
{
	struct listing *l = CONTAINER_OF(w, struct listing, waiter);
	loop_post(l->loop, &l->job);
}

// A reader that left has had what it wanted; one that only asks whether there is something is told when there is, or when the end has come.
static void listing_run(struct listing *l)
{
	uint8_t *none;
	size_t room;
	int64_t n;
	if (canon_end_is_over(&l->end)) {
		listing_end(l, 0);
		return;
	}
	if (!canon_end_room(&l->end, &none, &room))
		return;
	enum wasi_io io = wasi__fs_names_look(l->names, room ? room : 1, &n);
	if (io == WASI_IO_AGAIN) {
		if (!l->waiter.prev)
			wasi__event_watch(wasi__fs_names_event(l->names), &l->waiter, NULL);
		l->waiter.fn = on_names;
	} else if (io != WASI_IO_OK) {
		listing_end(l, (int)n);
	} else if (room) {
		canon_end_offer(&l->end, (size_t)n);
	} else {
		canon_end_move(&l->end, 0);
	}
}

static void listing_changed(struct canon_end *e)
{
	listing_run(CONTAINER_OF(e, struct listing, end));
}

static bool listing_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct listing *l = CONTAINER_OF(e, struct listing, end);
	struct sys_entry entry = wasi__fs_names_take(l->names);
	struct wasi_filesystem3_types_directory_entry *into = native;
	into->type = type_of(entry.type);
	into->name = (struct wit_string){entry.name.ptr, entry.name.len};
	return true;
}

static void listing_gone(struct canon_end *e)
{
	struct listing *l = CONTAINER_OF(e, struct listing, end);
	if (l->result)
		l->result->of = NULL;
	listing_free(l);
}

static void on_listing_job(struct loop_job *j)
{
	listing_run(CONTAINER_OF(j, struct listing, job));
}

static enum seam_result give_listing(struct seam_call *c, struct wasi_fs_names *names, const struct wit_type *tuple,
	struct wasi_tuple2_stream_filesystem3_types_directory_entry_future_result_void_filesystem3_types_error_code *ret)
{
	static const struct canon_end_ops ops = {listing_changed, listing_value, listing_gone};
	struct listing *l = SEAM_MEM_NEW(c->canon, struct listing);
	if (l && wasi__promise_new(c->canon, tuple->fields[1].type, &l->result, &ret->f1)) {
		l->names = names;
		l->loop = c->task->loop;
		l->job.fn = on_listing_job;
		if (canon_end_new(c->canon, tuple->fields[0].type, &ops, &l->end, &ret->f0))
			return SEAM_OK;
		canon_end_drop_number(c->canon, ret->f1);
	}
	wasi__fs_names_free(names);
	seam_mem_free(l);
	return seam_no_memory(c);
}

enum seam_result wasi_filesystem3_types_descriptor_read_directory(struct seam_call *c, const struct wasi_filesystem3_types_descriptor_read_directory_args *args,
	struct wasi_tuple2_stream_filesystem3_types_directory_entry_future_result_void_filesystem3_types_error_code *ret)
{
	struct wasi_fs_descriptor *d = descriptor(c, args->self);
	const struct wit_type *tuple = c->func->type->result;
	int why = wasi__fs_is_folder(d);
	struct wasi_fs_names *names = why ? NULL : wasi__fs_names_new(d, c->task->loop, &why);
	if (names)
		return give_listing(c, names, tuple, ret);
	struct wasi_error error = wasi__file_error(-why);
	return wasi__flow_in_failed(c, tuple, ended, &error, &ret->f0, &ret->f1);
}
