// Where control sockets are: a folder of this user's alone, with PID.sock a process.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_int.h"

bool ctl_folder(char *out, size_t size, bool *ret_named, struct err *e)
{
	const char *own = getenv("TENON_CTL"), *xdg = getenv("XDG_RUNTIME_DIR");
	int n;
	*ret_named = own && own[0];
	if (*ret_named)
		n = snprintf(out, size, "%s", own);
	else if (xdg && xdg[0] == '/')
		n = snprintf(out, size, "%s/tenon", xdg);
	else if (sys_user_id() == 0)
		n = snprintf(out, size, "/run/tenon");
	else
		n = snprintf(out, size, "/tmp/tenon-%u", sys_user_id());
	return (n > 0 && (size_t)n < size) || err_set(e, ERR_USAGE, "the folder of control sockets has too long a name");
}

static bool cannot_open(int why, const char *folder, struct err *e)
{
	if (why != -EPERM)
		return err_set_errno(e, -why, "cannot open the folder of control sockets '%s'", folder);
	err_set(e, ERR_ENV, "the folder of control sockets '%s' belongs to somebody else, or others may look into it", folder);
	return err_hint(e, "chmod 700 it, or name another one (TENON_CTL)");
}

// "123.sock"
static bool pid_of(struct slice name, uint64_t *ret)
{
	return slice_ends_with(name, SLICE_LIT(".sock")) && slice_parse_u64(slice_sub(name, 0, name.len - 5), INT32_MAX, ret);
}

bool ctl__folder_open(struct ctl *ctl, bool *ret_named, struct err *e)
{
	char folder[SYS_PATH_MAX];
	if (!ctl_folder(folder, sizeof folder, ret_named, e))
		return false;
	int fd = sys_private_folder(folder, true);
	if (fd < 0)
		return cannot_open(fd, folder, e);
	sys_close(fd);
	int n = snprintf(ctl->path, sizeof ctl->path, "%s/%d.sock", folder, sys_process_id());
	if (n > 0 && (size_t)n < sizeof ctl->path)
		return true;
	err_set(e, ERR_ENV, "the path of the control socket in '%s' is longer than %d bytes", folder, SYS_SOCKET_PATH_MAX);
	return err_hint(e, "name a folder with a shorter path (TENON_CTL)");
}

static void look_at(const char *folder, struct slice name, struct ctl_peer *list, uint32_t *n)
{
	struct ctl_peer *p = &list[*n];
	if (*n == CTL_PEERS_MAX || !pid_of(name, &p->pid))
		return;
	int len = snprintf(p->path, sizeof p->path, "%s/%llu.sock", folder, (unsigned long long)p->pid);
	if (len < 0 || (size_t)len >= sizeof p->path)
		return;  // nobody could have bound it
	int fd = sys_connect_file(p->path);
	if (fd == -ECONNREFUSED)
		sys_remove_dead_socket(p->path);
	if (fd < 0)
		return;
	sys_close(fd);
	++*n;
}

bool ctl_peers(struct arena *a, struct ctl_peer **ret, uint32_t *ret_n, struct err *e)
{
	char folder[SYS_PATH_MAX], names[8192];
	bool named;
	*ret_n = 0;
	*ret = ARENA_ARRAY(a, struct ctl_peer, CTL_PEERS_MAX + 1);
	if (!*ret)
		return err_nomem(e);
	if (!ctl_folder(folder, sizeof folder, &named, e))
		return false;
	int fd = sys_private_folder(folder, false);
	if (fd == -ENOENT)
		return true;
	if (fd < 0)
		return cannot_open(fd, folder, e);
	int64_t got;
	while ((got = sys_list(fd, names, sizeof names)) > 0) {
		struct sys_entry entry;
		for (size_t at = 0; sys_entry_next(slice_of(names, (size_t)got), &at, &entry);)
			look_at(folder, entry.name, *ret, ret_n);
	}
	sys_close(fd);
	return got == 0 || err_set_errno(e, (int)-got, "cannot read the folder '%s'", folder);
}
