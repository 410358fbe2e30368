//! Held below.
