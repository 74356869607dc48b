//! Memory and threads at the lowest level: atomics, regions, prefetch, epoch cells, parking.
