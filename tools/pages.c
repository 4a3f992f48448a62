// What is installed beside the program and made of the same tables as its --help (commands.def, options.def, limits.def):
//   tenon-pages bash|zsh|fish              completions
//   tenon-pages man DATE [COMMAND]         a manual page, of the program or of one command
//   tenon-pages commands                   their names
#include <ctype.h>
#include <stdio.h>

#include "cli/cli.h"

// ---- the tables --------------------------------------------------------------------------------------------------------------------------

enum value { VALUE_NONE, VALUE_ANY, VALUE_FILE, VALUE_FOLDER, VALUE_WORDS };

// What an option takes, by what the table calls it: "FILE", "HOST[::GUEST][:ro]", or the words themselves, "auto|once|each".
static enum value value_of(const struct cli_option_info *o)
{
	bool words = o->arg && o->arg[0];
	for (const char *p = o->arg; p && *p; p++)
		words = words && (islower((unsigned char)*p) || *p == '|' || *p == '-');
	return !o->arg                                                   ? VALUE_NONE
		: words                                                      ? VALUE_WORDS
		: slice_starts_with(slice_str(o->arg), SLICE_LIT("FILE"))    ? VALUE_FILE
		: slice_starts_with(slice_str(o->arg), SLICE_LIT("HOST[::")) ? VALUE_FOLDER
																	 : VALUE_ANY;
}

static bool takes(const struct cli_option_info *o, size_t command)
{
	return o->commands >> command & 1;
}

// The words of "a|b".
static void put_words(const struct cli_option_info *o, const char *between)
{
	for (const char *p = o->arg; *p; p++)
		if (*p == '|')
			fputs(between, stdout);
		else
			putchar(*p);
}

// ---- bash --------------------------------------------------------------------------------------------------------------------------------

static void bash_values(void)
{
	struct cli_option_info o;
	for (size_t i = 0; cli_option_info(i, &o); i++) {
		enum value v = value_of(&o);
		if (v == VALUE_NONE)
			continue;
		printf("\t--%s) ", o.name);
		if (v == VALUE_WORDS) {
			fputs("COMPREPLY=($(compgen -W '", stdout);
			put_words(&o, " ");
			fputs("' -- \"$cur\"))", stdout);
		} else {
			fputs(v == VALUE_FILE ? "_tenon_files -f" : v == VALUE_FOLDER ? "_tenon_files -d"
																		  : "COMPREPLY=()",
				stdout);
		}
		fputs("; return 0 ;;\n", stdout);
	}
}

static void bash_options(size_t command)
{
	struct cli_option_info o;
	struct cli_command_info c;
	if (!cli_command_info(command, &c))
		return;
	printf("\t%s) options='", c.name);
	for (size_t i = 0; cli_option_info(i, &o); i++)
		if (takes(&o, command))
			printf("--%s ", o.name);
	printf("--help' ;;\n");
}

static void put_bash(void)
{
	struct cli_command_info c;
	struct cli_option_info o;
	fputs("# bash completion for tenon: made by tenon-pages\n"
		  "_tenon_files() {\n"  // a name is one line, whatever spaces and stars it has
		  "\tlocal found\n"
		  "\tmapfile -t found < <(compgen \"$@\" -- \"$cur\")\n"
		  "\tCOMPREPLY+=(\"${found[@]}\")\n"
		  "}\n"
		  "_tenon_value() {\n\tcase $1 in\n",
		stdout);
	bash_values();
	fputs("\tesac\n\treturn 1\n}\n"
		  "_tenon() {\n"
		  "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' options i\n"
		  "\tCOMPREPLY=()\n"
		  "\t[ \"$cur\" = = ] && cur='' && prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		  "\t[ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
		  "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		  "\t\tcase ${COMP_WORDS[i]} in\n"
		  "\t\t--log) i=$((i + 1)) ;;\n"
		  "\t\t-*) ;;\n"
		  "\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
		  "\t\tesac\n"
		  "\tdone\n"
		  "\t_tenon_value \"$prev\" && return\n"
		  "\tcase $command in\n"
		  "\t'' | help) options='",
		stdout);
	for (size_t i = 0; cli_option_info(i, &o); i++)
		if (o.anywhere)
			printf("--%s ", o.name);
	fputs("--help --version'; [[ $cur != -* ]] && options='", stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++)
		printf("%s ", c.name);
	fputs("help' ;;\n", stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++)
		bash_options(i);
	fputs("\t*) return ;;\n\tesac\n"
		  "\tif [ -z \"$command\" ] || [ \"$command\" = help ] || [[ $cur == -* ]]; then\n"
		  "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
		  "\telif [ \"$command\" != doctor ]; then\n"
		  "\t\t_tenon_files -f -X '!*.wasm'\n"
		  "\t\t_tenon_files -d\n"
		  "\t\tcase $command in up | dev | check | apply) _tenon_files -f -X '!*.toml' ;; esac\n"
		  "\tfi\n}\n"
		  "complete -o filenames -F _tenon tenon\n",
		stdout);
}

// ---- zsh, fish -----------------------------------------------------------------------------------------------------------------------------

// Within single quotes, with what the shell's own form must not take for its own.
static void put_quoted(const char *text, const char *escaped)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			printf(strchr(escaped, *text) ? "\\%c" : "%c", *text);
	}
}

static void put_zsh_command(size_t command)
{
	struct cli_command_info c;
	struct cli_option_info o;
	if (!cli_command_info(command, &c))
		return;
	printf("\t\t%s) _arguments '--help[the options of the command]'", c.name);
	for (size_t i = 0; cli_option_info(i, &o); i++) {
		enum value v = value_of(&o);
		if (!takes(&o, command))
			continue;
		printf(" \\\n\t\t\t'*--%s%s[", o.name, v == VALUE_NONE ? "" : "=");
		put_quoted(o.help, "[]\\");
		putchar(']');
		if (v != VALUE_NONE)
			printf(":%s:", o.is_limit ? "value" : o.name);
		if (v == VALUE_WORDS) {
			putchar('(');
			put_words(&o, " ");
			putchar(')');
		} else if (v == VALUE_FILE || v == VALUE_FOLDER) {
			fputs(v == VALUE_FILE ? "_files" : "_files -/", stdout);
		}
		putchar('\'');
	}
	fputs(c.args[0] ? " \\\n\t\t\t'*:file:_files' ;;\n" : " ;;\n", stdout);
}

static void put_zsh(void)
{
	struct cli_command_info c;
	fputs("#compdef tenon\n# made by tenon-pages\n_tenon() {\n\tlocal -a commands\n\tlocal state line\n\tcommands=(", stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++) {
		printf("\n\t\t'%s:", c.name);
		put_quoted(c.summary, ":\\");
		putchar('\'');
	}
	fputs(")\n\t_arguments -C '1:command:->command' '*::argument:->arguments'\n"
		  "\tcase $state in\n\tcommand) _describe command commands ;;\n\targuments)\n\t\tcase $words[1] in\n",
		stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++)
		put_zsh_command(i);
	fputs("\t\tesac ;;\n\tesac\n}\n_tenon \"$@\"\n", stdout);
}

static void put_fish(void)
{
	struct cli_command_info c;
	struct cli_option_info o;
	fputs("# fish completion for tenon: made by tenon-pages\ncomplete -c tenon -n __fish_use_subcommand -f\n", stdout);
	for (size_t k = 1; cli_command_info(k, &c); k++) {
		printf("complete -c tenon -n __fish_use_subcommand -a %s -d '", c.name);
		put_quoted(c.summary, "\\");
		printf("'\ncomplete -c tenon -n '__fish_seen_subcommand_from %s' -l help -d 'the options of the command'\n", c.name);
		for (size_t i = 0; cli_option_info(i, &o); i++) {
			enum value v = value_of(&o);
			if (!takes(&o, k))
				continue;
			printf("complete -c tenon -n '__fish_seen_subcommand_from %s' -l %s%s -d '", c.name, o.name, v == VALUE_NONE ? "" : v == VALUE_FILE ? " -r -F"
					: v == VALUE_FOLDER                                                                                                         ? " -x -a '(__fish_complete_directories)'"
																																				: " -x");
			put_quoted(o.help, "\\");
			putchar('\'');
			if (v == VALUE_WORDS) {
				fputs(" -a '", stdout);
				put_words(&o, " ");
				putchar('\'');
			}
			putchar('\n');
		}
	}
}

// ---- manual pages --------------------------------------------------------------------------------------------------------------------------

// A text of roff: its hyphens are minus signs, nothing of it is a request.
static void put_roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		fputs(*text == '\\' ? "\\e" : *text == '-' ? "\\-"
				: *text == '\''                    ? "\\(aq"
				: *text == '"'                     ? "\\(dq"
												   : (const char[]){*text, 0},
			stdout);
}

static void put_head(const char *name, const char *date, const char *summary)
{
	char upper[40];
	size_t n = 0;
	for (; name[n] && n + 1 < sizeof upper; n++)
		upper[n] = (char)toupper((unsigned char)name[n]);
	upper[n] = 0;
	printf(".TH %s 1 %s \"tenon " TENON_VERSION "\" \"User Commands\"\n.SH NAME\n", upper, date);
	put_roff(name);
	fputs(" \\- ", stdout);
	put_roff(summary);
	putchar('\n');
}

static void put_status(void)
{
	static const struct {
		const char *status, *means;
	} rows[] = {{"0", "done"}, {"1", "the guest failed; otherwise a guest's own exit code passes through"}, {"2", "usage error"}, {"3", "rejected input: not WebAssembly, malformed, invalid, or it needs what is not there"},
		{"4", "cannot link"}, {"5", "the environment: a file is missing, a port is taken"}, {"124", "deadline or CPU budget spent"}, {"134", "the guest trapped"}};
	fputs(".SH EXIT STATUS\n", stdout);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		printf(".TP\n.B %s\n", rows[i].status);
		put_roff(rows[i].means);
		putchar('\n');
	}
}

static void put_program_page(const char *date)
{
	struct cli_command_info c;
	put_head("tenon", date, "runs WebAssembly components on servers");
	fputs(".SH SYNOPSIS\n.B tenon\n.I COMMAND\n.RI [ OPTION \\|.\\|.\\|.]\n.SH DESCRIPTION\n"
		  "tenon runs WebAssembly components and preview 1 modules: every request in a fresh instance, with what whoever runs it grants and nothing else.\n"
		  ".SH COMMANDS\n",
		stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++) {
		printf(".TP\n.BR tenon\\-%s (1)\n", c.name);
		put_roff(c.summary);
		putchar('\n');
	}
	put_status();
	fputs(".SH ENVIRONMENT\n.TP\n.B TENON_CACHE\nthe folder of compiled code (else\n.I $XDG_CACHE_HOME/tenon\nor\n.IR \\(ti/.cache/tenon );\nit must be ours, with mode 0700\n"
		  ".TP\n.B NO_COLOR\nno colours, on a terminal either\n.SH SEE ALSO\n",
		stdout);
	for (size_t i = 1; cli_command_info(i, &c); i++) {
		struct cli_command_info next;
		printf(".BR tenon\\-%s (1)%s\n", c.name, cli_command_info(i + 1, &next) ? "," : "");
	}
}

static void put_option(const struct cli_option_info *o)
{
	fputs(".TP\n.BI \\-\\-", stdout);
	put_roff(o->name);
	if (o->arg) {
		fputs(" \" ", stdout);
		put_roff(o->is_limit ? "N" : o->arg);
		putchar('"');
	}
	putchar('\n');
	put_roff(o->help);
	putchar('\n');
}

// false: there is no such command.
static bool put_command_page(const char *date, const char *command_name)
{
	struct cli_command_info c;
	struct cli_option_info o;
	size_t command = 1;
	char name[40];
	bool limits = false;
	while (cli_command_info(command, &c) && strcmp(c.name, command_name) != 0)
		command++;
	if (!cli_command_info(command, &c))
		return false;
	snprintf(name, sizeof name, "tenon-%s", c.name);
	put_head(name, date, c.summary);
	printf(".SH SYNOPSIS\n.B tenon %s\n.RI [ OPTION \\|.\\|.\\|.]\n", c.name);
	if (c.args[0]) {
		fputs(".I \"", stdout);
		put_roff(c.args);
		fputs("\"\n", stdout);
	}
	fputs(".SH DESCRIPTION\n", stdout);
	put_roff(c.description);
	fputs("\n.SH OPTIONS\n", stdout);
	for (size_t i = 0; cli_option_info(i, &o); i++) {
		if (!takes(&o, command))
			continue;
		if (o.is_limit && !limits)
			fputs(".SH LIMITS\nA time with its unit (500ms, 10s, 2m), a size (65536, 64KiB, 256MiB) or a number;\n.B none\nis no limit.\n", stdout);
		limits = o.is_limit;
		put_option(&o);
	}
	fputs(limits ? "" : ".TP\n.B \\-\\-help\nprints the options\n", stdout);
	put_status();
	fputs(".SH SEE ALSO\n.BR tenon (1)\n", stdout);
	return true;
}

int main(int argc, char **argv)
{
	struct cli_command_info c;
	const char *what = argc > 1 ? argv[1] : "";
	bool known = true;
	if (strcmp(what, "bash") == 0 && argc == 2)
		put_bash();
	else if (strcmp(what, "zsh") == 0 && argc == 2)
		put_zsh();
	else if (strcmp(what, "fish") == 0 && argc == 2)
		put_fish();
	else if (strcmp(what, "man") == 0 && argc == 3)
		put_program_page(argv[2]);
	else if (strcmp(what, "man") == 0 && argc == 4)
		known = put_command_page(argv[2], argv[3]);
	else if (strcmp(what, "commands") == 0 && argc == 2)
		for (size_t i = 1; cli_command_info(i, &c); i++)
			printf("%s\n", c.name);
	else
		known = false;
	return known && fflush(stdout) == 0 && !ferror(stdout) ? 0 : 2;
}
