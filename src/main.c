#include "cli/cli.h"
#include "symbols/symbols.h"

int main(int argc, char **argv)
{
	symbols_main(argc, argv);
	return cli_main(argc, argv);
}
