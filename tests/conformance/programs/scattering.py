"""What small things scatter, of models that sasmodels builds for the device: many small buffers, kernels in double precision."""
import numpy
from sasmodels.core import load_model
from sasmodels.direct_model import call_kernel

for name, length in (("sphere", "radius"), ("cylinder", "length")):
    model = load_model(name, dtype="double", platform="ocl")
    kernel = model.make_kernel([numpy.logspace(-3, -1, 50)])
    values = call_kernel(kernel, {length: 40.0, f"{length}_pd": 0.1, f"{length}_pd_n": 5})
    print(type(model).__name__, name, *(f"{value:.9e}" for value in values))
