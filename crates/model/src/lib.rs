//! What a decoder is (Spec), the families, and the one executor.
