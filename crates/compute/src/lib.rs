//! Kernels per instruction set, the thread team, and the operations a model is made of.
