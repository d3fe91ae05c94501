//! What the integration tests share: the built binary, real processes and clusters of them, and the lock that keeps
//! tests that assert time alone.
