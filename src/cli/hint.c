/* What a user can do about a failure: see hint.h. */
#include "cli/hint.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *code, *hint;
} hints[] = {
    {"leatd-unreachable", "Start it with `leat up`, or name another with --host."},
    {"connection-lost", "Is leatd still running? `leat up` starts it again; jobs keep running."},
    {"leatd-failed", "The whole log is leatd.log in the run folder."},
    {"unauthorized", "Give the token of that leatd with --token or LEAT_TOKEN."},
    {"unknown-job", "`leat ps --all` lists the jobs."},
    {"job-not-ended", "Stop it first: `leat stop JOB`, or use `leat rm --force JOB`."},
    {"unknown-device", "`leat device list` lists the devices."},
    {"unknown-card", "`leat card list` lists the cards."},
    {"unknown-image", "`leat image list` lists the images."},
    {"image-not-ready", "`leat image build NAME` makes it; `leat image list` shows how far it is."},
    {"no-recipe", "`leat image import NAME SOURCE` makes an image of what is there already."},
    {"unknown-library", "`leat template list` lists the library and job types."},
    {"unknown-job-type", "`leat template list` lists the library and job types."},
    {"memory-exceeds-device", "`leat device list` shows what the devices have."},
    {"card-daemon-away", "leat-cardd.log in the run folder says more."},
    {"no-runtime", "Is runc or crun installed? `make deps` installs what Leat needs."},
};

const char *hint_find(const char *code)
{
    for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++) {
        if (strcmp(hints[i].code, code) == 0)
            return hints[i].hint;
    }
    return NULL;
}
