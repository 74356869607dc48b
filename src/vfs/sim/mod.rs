//! A strict file system in memory, for tests.
