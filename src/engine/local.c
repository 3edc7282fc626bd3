/* The local engine: containers of this host through an OCI runtime. */
#include "engine/engine_impl.h"

#include <errno.h>

#include "base/error.h"

int engine_local_create(struct uv_loop_s *loop, const struct engine_config *config,
                        struct engine **ret_engine, struct error *err)
{
    return error_set(err, -EOPNOTSUPP, "not-supported", "this build has no local engine");
}
