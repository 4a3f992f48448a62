// tenon serve, tenon compile.
#include "commands.h"
#include "ctl/ctl.h"
#include "tier/tier.h"

// The apps of components without manifests, each once.
static bool apps_of(struct cli *c, const struct serve_process *p, struct ctl_config *ret, struct err *e)
{
	struct serve_component_facts f;
	unsigned n = 0;
	while (serve_component_facts(p, n, &f))
		n++;
	struct ctl_app_config *apps = ARENA_ARRAY(&c->arena, struct ctl_app_config, n + 1);
	for (unsigned i = 0; apps && serve_component_facts(p, i, &f); i++) {
		bool known = false;
		for (uint32_t k = 0; k < ret->n_apps; k++)
			known |= strcmp(apps[k].name, f.app) == 0;
		if (!known)
			apps[ret->n_apps++].name = f.app;
	}
	ret->apps = apps;
	return apps || err_nomem(e);
}

// What runs, told by who may connect to it. Without a folder for it, where none was named, the server serves all the same.
static bool start_control(struct cli *c, struct serve_process *p, const struct ctl_config *control, struct ctl **ret, struct err *e)
{
	struct ctl_config config = *control;
	config.process = p;
	if ((!config.n_apps && !apps_of(c, p, &config, e)) || !ctl_start(&config, ret, e))
		return false;
	if (!*ret)
		serve_warn(p, "no control socket: %s", e->text);
	err_clear(e);
	return true;
}

static void on_taken_back(void *user, const char *app, const char *component, uint64_t version, const char *why)
{
	struct ctl **ctl = user;
	if (*ctl)
		ctl_taken_back(*ctl, app, component, version, why);
}

static bool on_hang_up(void *user)
{
	struct ctl **ctl = user;
	return ctl_apply_all(*ctl);
}

int cli__serve(struct cli *c, const struct serve_setup *setup, const struct ctl_config *control, struct err *e)
{
	struct serve_process *p;
	struct ctl *ctl = NULL;
	c->config.process.taken_back = on_taken_back;
	c->config.process.hang_up = on_hang_up;
	c->config.process.user = &ctl;
	tier_behind_hold();
	if (serve_open(setup, &p, e) && start_control(c, p, control, &ctl, e))
		serve_run(p);
	ctl_stop(ctl);
	return serve_close(p, e);
}

int cli__serve_component(struct cli *c, struct err *e)
{
	struct serve_app_config app = {.services = {.ptr = &c->config.service, .len = 1}};
	c->config.service.idle_fresh = c->config.service.limits.idle;
	c->config.service.last_stays = true;
	const struct serve_setup setup = {.process = &c->config.process, .listeners = &c->config.listener, .n_listeners = 1, .apps = &app, .n_apps = 1};
	return cli__serve(c, &setup, &(struct ctl_config){0}, e);
}

int cli__command_serve(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	if (!cli_check_file(&c->config.service, false, e))
		return err_exit_status(e->code);
	return cli__serve_component(c, e);
}

int cli__command_compile(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	if (!cli_check_file(&c->config.service, true, e) || !serve_compile(&c->config, e))
		return err_exit_status(e->code);
	return 0;
}
