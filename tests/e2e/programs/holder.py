"""Hold COUNT buffers of 1, 2, 3, ... MiB, and note in the work folder how many there were: a checkpoint."""
import os
import sys

import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
queue = cl.CommandQueue(context)
held = []
done = int(open("done").read()) if os.path.exists("done") else 0
print("from", done, "restarts", os.environ["LEAT_RESTARTS"], flush=True)
for mib in range(done, int(sys.argv[1])):
    held.append(cl.Buffer(context, cl.mem_flags.READ_WRITE, (1 << 20) * (1 + mib)))
    cl.enqueue_fill_buffer(queue, held[-1], np.uint8(1), 0, held[-1].size).wait()
    open("done", "w").write(str(mib + 1))
