/* What `zig build` translates: the installed header and nothing else. */
#include <lsmer.h>
