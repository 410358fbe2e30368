//! A `libnvidia-ml.so` without GPUs: tests and measurements load it in place of NVIDIA's. It is
//! never part of a release.
