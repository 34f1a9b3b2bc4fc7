//! A comparison.
