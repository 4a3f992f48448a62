// STATE/TENANT/APP/journal: `tenon-journal 1`, then a record a line: the CRC-32 of its JSON in eight hexadecimal digits, a space, the JSON.
//
// 1. A record counts once its whole line is on the disk; who adds one hears of it only then.
// 2. The end of the file may be torn: a line that is not whole, or whose CRC is wrong, with no whole record behind it, was never told to anybody.
// 3. A failed write is cut off again. After a sync that failed nobody knows what the disk has: no further record is taken until the file is read again.
// 4. The file is replaced by another (temporary name, sync, rename, sync of the folder) and never changed in its middle.
// 5. One process has the lock. The file `lock` stays, but with a journal that is discarded, as the last file of its folder: nobody gets it while others are
//    left. Who locks what another one removed, or finds a folder gone, begins again.
#include "journal.h"

#include <errno.h>
#include <stdio.h>

#include "sys/sys.h"

enum { FORMAT = 1, FILE_MAX = 64 << 20, CRC_DIGITS = 8, RECORD_MAX = 8 << 20, TRIES = 100 };
static const char first_line[] = "tenon-journal 1\n";

struct ctl_journal {
	char *state;  // the path of STATE, then the names of the folders beneath it, each with its zero
	const char *tenant, *app;  // NULL: it lies beside the journal, and nothing else hangs on it
	const char *name;  // of its file
	int folder, lock, file;
	uint64_t size;
	bool broken;
};

// CRC-32 of IEEE 802.3, four bits at a time.
static uint32_t crc_of(struct slice s)
{
	static const uint32_t of[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8,
		0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < s.len; i++) {
		crc = of[(crc ^ s.ptr[i]) & 15] ^ crc >> 4;
		crc = of[(crc ^ s.ptr[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

// ---- reading ------------------------------------------------------------------------------------------------------------------------------

static bool read_all(int fd, struct buf *b, struct err *e)
{
	struct sys_stat st;
	int why = sys_file.stat(fd, false, &st);
	if (why < 0)
		return err_set_errno(e, -why, "cannot read the journal");
	if (st.size > FILE_MAX)
		return err_set(e, ERR_ENV, "the journal has %llu bytes, more than any that this program writes", (unsigned long long)st.size);
	b->max = FILE_MAX;
	uint8_t *to = st.size ? buf_reserve(b, st.size) : NULL;
	if (st.size && !to)
		return err_nomem(e);
	while (b->len < st.size) {
		int64_t n = sys_file.read(fd, b->ptr + b->len, st.size - b->len, b->len, false);
		if (n < 0)
			return err_set_errno(e, (int)-n, "cannot read the journal");
		if (n == 0)
			break;  // it became shorter
		b->len += (size_t)n;
	}
	return true;
}

static int digit_of(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
																 : -1;
}

// The record in a line without its newline. false: it isn't whole.
static bool record_of(struct slice line, struct slice *ret)
{
	uint32_t crc = 0;
	if (line.len < CRC_DIGITS + 2 || line.ptr[CRC_DIGITS] != ' ')
		return false;
	for (int i = 0; i < CRC_DIGITS; i++) {
		int d = digit_of(line.ptr[i]);
		if (d < 0)
			return false;
		crc = crc << 4 | (uint32_t)d;
	}
	*ret = slice_sub(line, CRC_DIGITS + 1, SIZE_MAX);
	return crc_of(*ret) == crc;
}

static bool has_whole_record(struct slice rest)
{
	struct slice record;
	while (rest.len) {
		size_t end = slice_find(rest, '\n');
		if (end < rest.len && record_of(slice_sub(rest, 0, end), &record))
			return true;
		rest = slice_sub(rest, min_u64(end + 1, rest.len), SIZE_MAX);
	}
	return false;
}

// The format's number. false: the first line is torn, and no record was ever written.
static bool format_of(struct slice text, uint64_t *ret)
{
	static const struct slice word = {(const uint8_t *)first_line, sizeof "tenon-journal " - 1};
	size_t end = slice_find(text, '\n');
	return end < text.len && slice_starts_with(text, word) && slice_parse_u64(slice_sub(text, word.len, end - word.len), UINT32_MAX, ret);
}

static bool check_format(struct slice text, bool *ret_is_new, struct err *e)
{
	uint64_t format;
	*ret_is_new = text.len < sizeof first_line - 1 && slice_starts_with((struct slice){(const uint8_t *)first_line, sizeof first_line - 1}, text);
	if (*ret_is_new)
		return true;
	if (!format_of(text, &format))
		return err_set(e, ERR_ENV, "the journal does not begin as one");
	if (format > FORMAT) {
		err_set(e, ERR_ENV, "the journal has format %llu; this program reads 1", (unsigned long long)format);
		return err_hint(e, "a newer tenon wrote it: use that one, or another state folder (TENON_STATE)");
	}
	return format == FORMAT || err_set(e, ERR_ENV, "the journal has format %llu, which there never was", (unsigned long long)format);
}

// *ret_good: bytes up to the end of the last whole record.
static bool replay(const struct ctl_journal *j, struct slice text, const struct ctl_journal_records *r, uint64_t *ret_good, struct err *e)
{
	bool is_new;
	*ret_good = 0;
	if (!check_format(text, &is_new, e))
		return false;
	if (is_new)
		return true;
	size_t at = sizeof first_line - 1;
	while (at < text.len) {
		struct slice rest = slice_sub(text, at, SIZE_MAX), record;
		size_t end = slice_find(rest, '\n');
		if (end == rest.len || !record_of(slice_sub(rest, 0, end), &record)) {
			if (!has_whole_record(rest))
				break;
			err_set_at(e, ERR_ENV, at, "a record of the journal is damaged, and others stand behind it");
			return err_hint(e, "the disk or somebody's hand did that; to begin anew, %s", j->tenant ? "move the folder away" : "remove the file");
		}
		if (!r->on_record(r->user, record, e))
			return false;
		at += end + 1;
	}
	*ret_good = at;
	return true;
}

// ---- writing ------------------------------------------------------------------------------------------------------------------------------

static bool write_at(int fd, struct slice s, uint64_t at, struct err *e)
{
	while (s.len) {
		int64_t n = sys_file.write(fd, s.ptr, s.len, at, false);
		if (n <= 0)
			return err_set_errno(e, n < 0 ? (int)-n : EIO, "cannot write the journal");
		at += (uint64_t)n;
		s = slice_sub(s, (size_t)n, SIZE_MAX);
	}
	return true;
}

static bool sync_file(int fd, struct err *e)
{
	int why = sys_sync(fd, false);
	return why == 0 || err_set_errno(e, -why, "cannot bring the journal to the disk");
}

static void put_record(struct buf *b, struct slice json)
{
	buf_printf(b, "%08x ", crc_of(json));
	buf_put_slice(b, json);
	buf_put_byte(b, '\n');
}

bool ctl_journal_add(struct ctl_journal *j, struct slice json, struct err *e)
{
	if (j->broken) {
		err_set(e, ERR_ENV, "the journal could not be written before");
		return err_hint(e, "nothing is changed until tenon was started again");
	}
	if (j->size + json.len > FILE_MAX || json.len > RECORD_MAX)
		return err_set(e, ERR_LIMIT, "the journal would become too long");
	struct buf b = {0};
	put_record(&b, json);
	bool ok = !b.failed || err_nomem(e);
	if (ok && !write_at(j->file, buf_view(&b), j->size, e)) {
		ok = false;
		j->broken = sys_resize(j->file, j->size) < 0;
	} else if (ok && !sync_file(j->file, e)) {
		ok = false;
		j->broken = true;
		if (sys_resize(j->file, j->size) < 0)  // who writes is told that it did not come about, so the next start must not find it
			err_hint(e, "it could not be taken back either: it may be in force after a restart");
	}
	if (ok)
		j->size += b.len;
	buf_release(&b);
	return ok;
}

bool ctl_journal_cut(struct ctl_journal *j, uint64_t size, struct err *e)
{
	if (j->broken)
		return err_set(e, ERR_ENV, "the journal could not be written before");
	int why = sys_resize(j->file, size);
	if (why < 0)
		return err_set_errno(e, -why, "cannot cut the journal");
	j->size = size;
	j->broken = !sync_file(j->file, e);
	return !j->broken;
}

// A file of these bytes in the place of the journal.
static bool replace(struct ctl_journal *j, struct slice bytes, struct err *e)
{
	char temporary[32];
	snprintf(temporary, sizeof temporary, "%s.new", j->name);
	sys_private_remove(j->folder, temporary);
	int fd = sys_private_file(j->folder, temporary, true, true);
	if (fd < 0)
		return err_set_errno(e, -fd, "cannot make a journal");
	bool ok = write_at(fd, bytes, 0, e) && sync_file(fd, e);
	int why = ok ? sys_private_rename(j->folder, temporary, j->name) : 0;
	if (ok && why < 0)
		ok = err_set_errno(e, -why, "cannot put a journal in its place");
	if (!ok) {
		sys_close(fd);
		sys_private_remove(j->folder, temporary);
		return false;
	}
	sys_close(j->file);
	j->file = fd;
	j->size = bytes.len;
	// From here on the new one is what the next start reads; whether it is there after a loss of power is what the sync of the folder says.
	j->broken = !sync_file(j->folder, e);
	return !j->broken;
}

bool ctl_journal_rewrite(struct ctl_journal *j, struct slice records, struct err *e)
{
	struct buf b = {.max = FILE_MAX};
	if (j->broken)
		return err_set(e, ERR_ENV, "the journal could not be written before");
	buf_put_str(&b, first_line);
	while (records.len) {
		size_t end = slice_find(records, '\n');
		put_record(&b, slice_sub(records, 0, end));
		records = slice_sub(records, end + 1, SIZE_MAX);
	}
	bool ok = b.failed ? err_nomem(e) : replace(j, buf_view(&b), e);
	buf_release(&b);
	return ok;
}

// ---- opened and closed ----------------------------------------------------------------------------------------------------------------------

static bool folder_failed(int why, const char *path, struct err *e)
{
	if (why != -EPERM)
		return err_set_errno(e, -why, "cannot open the state folder '%s'", path);
	err_set(e, ERR_ENV, "the state folder '%s' belongs to somebody else, or others may look into it", path);
	return err_hint(e, "chmod 700 it, or name another one (TENON_STATE)");
}

// What lies in it is no part of a project's sources. 0, or why not, negative.
static int put_gitignore(int state, struct err *e)
{
	int fd = sys_private_file(state, ".gitignore", true, true);
	if (fd == -EEXIST)
		return 0;
	if (fd < 0) {
		err_set_errno(e, -fd, "cannot write the state folder's .gitignore");
		return fd;
	}
	bool ok = write_at(fd, SLICE_LIT("*\n"), 0, e);
	sys_close(fd);
	return ok ? 0 : -EIO;
}

// 0, or why not, negative.
static int open_folders(struct ctl_journal *j, const char *state, const char *tenant, const char *app, struct err *e)
{
	int top = sys_private_folder(state, true);
	if (top < 0) {
		folder_failed(top, state, e);
		return top;
	}
	int why = put_gitignore(top, e), of_tenant = why < 0 ? why : sys_private_subfolder(top, tenant);
	j->folder = of_tenant < 0 ? of_tenant : sys_private_subfolder(of_tenant, app);
	why = j->folder < 0 ? j->folder : 0;
	if (why < 0 && e->code == ERR_NONE)
		folder_failed(why, state, e);
	else if (why == 0 && !(sync_file(top, e) && sync_file(of_tenant, e)))
		why = -EIO;
	sys_close(of_tenant);
	sys_close(top);
	return why;
}

static int lock(struct ctl_journal *j)
{
	j->lock = sys_private_file(j->folder, "lock", true, false);
	return j->lock < 0 ? j->lock : sys_lock(j->lock);
}

static bool lock_failed(int why, const char *app, struct err *e)
{
	if (why != -EWOULDBLOCK)
		return err_set_errno(e, -why, "cannot lock the state of '%s'", app);
	err_set(e, ERR_ENV, "another tenon runs the app '%s' with this state folder", app);
	return err_hint(e, "tenon status shows it; TENON_STATE names another folder");
}

// Who discards a journal takes the folders away, perhaps just now.
static bool open_locked(struct ctl_journal *j, const char *state, const char *tenant, const char *app, struct err *e)
{
	for (unsigned i = 0;; i++) {
		int why = open_folders(j, state, tenant, app, e);
		bool opened = why == 0;
		why = opened ? lock(j) : why;
		if (why == 0)
			return true;
		if ((why != -ENOENT && why != -ESTALE) || i == TRIES)
			return opened ? lock_failed(why, app, e) : false;
		err_clear(e);
		sys_close(j->lock);
		sys_close(j->folder);
		j->folder = j->lock = -1;
	}
}

static bool load(struct ctl_journal *j, const struct ctl_journal_records *r, struct err *e)
{
	struct buf text = {0};
	uint64_t good = 0;
	j->file = sys_private_file(j->folder, j->name, true, false);
	if (j->file < 0)
		return err_set_errno(e, -j->file, "cannot open the journal");
	bool ok = read_all(j->file, &text, e) && replay(j, buf_view(&text), r, &good, e);
	if (ok && good == 0) {
		ok = replace(j, SLICE_LIT(first_line), e);
	} else if (ok) {
		int why = good < text.len ? sys_resize(j->file, good) : 0;
		ok = why == 0 || err_set_errno(e, -why, "cannot cut off the end of the journal");
		j->size = good;
	}
	buf_release(&text);
	return ok;
}

static bool keep_names(struct ctl_journal *j, const char *state, const char *tenant, const char *app, struct err *e)
{
	size_t n = strlen(state) + 1, m = strlen(tenant) + 1, k = strlen(app) + 1;
	j->state = mem_alloc(n + m + k);
	if (!j->state)
		return err_nomem(e);
	memcpy(j->state, state, n);
	j->tenant = memcpy(j->state + n, tenant, m);
	j->app = memcpy(j->state + n + m, app, k);
	return true;
}

bool ctl_journal_open(const char *state, const char *tenant, const char *app, const struct ctl_journal_records *r, struct ctl_journal **ret, struct err *e)
{
	struct ctl_journal *j = mem_zalloc(sizeof *j);
	if (!j)
		return err_nomem(e);
	j->folder = j->lock = j->file = -1;
	j->name = "journal";
	if (keep_names(j, state, tenant, app, e) && open_locked(j, state, tenant, app, e) && load(j, r, e)) {
		*ret = j;
		return true;
	}
	ctl_journal_close(j);
	return err_note(e, "state folder '%s'", state);
}

bool ctl_journal_open_beside(const struct ctl_journal *beside, const char *name, const struct ctl_journal_records *r, struct ctl_journal **ret, struct err *e)
{
	struct ctl_journal *j = mem_zalloc(sizeof *j);
	if (!j)
		return err_nomem(e);
	*j = (struct ctl_journal){.name = name, .folder = sys_dup(beside->folder), .lock = -1, .file = -1};
	if ((j->folder >= 0 || err_set_errno(e, -j->folder, "dup")) && load(j, r, e)) {
		*ret = j;
		return true;
	}
	ctl_journal_close(j);
	return err_note(e, "state of '%s', file '%s'", beside->app, name);
}

bool ctl_journal_is_beside(const struct ctl_journal *j, const char *name)
{
	int fd = sys_private_file(j->folder, name, false, false);
	sys_close(fd);
	return fd != -ENOENT;  // one that can't be opened is there
}

uint64_t ctl_journal_size(const struct ctl_journal *j)
{
	return j->size;
}

int ctl_journal_folder(const struct ctl_journal *j)
{
	return j->folder;
}

void ctl_journal_close(struct ctl_journal *j)
{
	if (!j)
		return;
	sys_close(j->file);
	sys_close(j->lock);
	sys_close(j->folder);
	mem_free(j->state);
	mem_free(j);
}

static bool is_dots(struct slice name)
{
	return slice_eq_str(name, ".") || slice_eq_str(name, "..");
}

// All files, or as many as one look shows: more are not there yet where nothing was ever in force. But for the lock.
static void remove_files(int folder)
{
	uint8_t list[16384];
	int64_t n = folder < 0 ? 0 : sys_list(folder, list, sizeof list);
	size_t at = 0;
	struct sys_entry entry;
	while (n > 0 && sys_entry_next(slice_of(list, (size_t)n), &at, &entry))
		if (!is_dots(entry.name) && !slice_eq_str(entry.name, "lock"))
			sys_private_remove(folder, (const char *)entry.name.ptr);
}

// Nothing is in it but what is always there.
static bool is_left(int top)
{
	uint8_t list[1024];
	int64_t n = sys_list(top, list, sizeof list);
	size_t at = 0;
	struct sys_entry entry;
	bool is = n > 0;
	while (is && sys_entry_next(slice_of(list, (size_t)n), &at, &entry))
		is = is_dots(entry.name) || slice_eq_str(entry.name, ".gitignore");
	return is;
}

// Somebody else may begin meanwhile: what he has made stays, and has its .gitignore.
static void remove_top(const struct ctl_journal *j, int top)
{
	struct err ignored = {0};
	if (!is_left(top))
		return;
	sys_private_remove(top, ".gitignore");
	if (sys_remove_folder(j->state) < 0)
		(void)put_gitignore(top, &ignored);
}

static void remove_folders(const struct ctl_journal *j, bool all)
{
	int top = sys_private_folder(j->state, false), of_tenant = top < 0 ? top : sys_private_subfolder(top, j->tenant);
	sys_private_remove(j->folder, "lock");
	if (of_tenant >= 0)
		sys_private_remove_folder(of_tenant, j->app);
	sys_close(of_tenant);
	if (top < 0)
		return;
	sys_private_remove_folder(top, j->tenant);
	if (all)
		remove_top(j, top);
	sys_close(top);
}

void ctl_journal_discard(struct ctl_journal *j, bool all)
{
	int blobs = sys_private_subfolder(j->folder, "blobs");
	remove_files(blobs);
	sys_close(blobs);
	sys_private_remove_folder(j->folder, "blobs");
	remove_files(j->folder);
	remove_folders(j, all);
	ctl_journal_close(j);
}
