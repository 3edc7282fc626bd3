"""OpenCV with its data on the OpenCL device: filters, edges, geometry and a sum."""
import hashlib
import os
import sys

os.environ["OPENCV_OPENCL_DEVICE"] = ":CPU|GPU|ACCELERATOR:"  # else OpenCV wants a GPU
import cv2  # noqa: E402
import numpy  # noqa: E402

cv2.ocl.setUseOpenCL(True)
if not cv2.ocl.haveOpenCL() or not cv2.ocl.useOpenCL():
    sys.exit("OpenCV does not use OpenCL here")
y, x = numpy.mgrid[0:240, 0:320]
picture = cv2.UMat(((x * 5 + y * 3 + (x * y) // 7) % 256).astype(numpy.uint8))
STEPS = {
    "blur": lambda p: cv2.GaussianBlur(p, (7, 7), 1.5),
    "edges": lambda p: cv2.Canny(p, 40, 120),
    "resize": lambda p: cv2.resize(p, (200, 100), interpolation=cv2.INTER_LINEAR),
    "threshold": lambda p: cv2.threshold(p, 100, 255, cv2.THRESH_BINARY)[1],
    "warp": lambda p: cv2.warpAffine(p, numpy.float32([[0.9, 0.1, 4], [-0.1, 0.9, 7]]), (320, 240)),
    "add": lambda p: cv2.add(p, p),
    "erode": lambda p: cv2.erode(p, None),
    "histogram": lambda p: cv2.equalizeHist(p),
}
for name, step in STEPS.items():
    print(name, hashlib.sha256(step(picture).get().tobytes()).hexdigest()[:16])
