//! Tests of the segmented log.

mod basics;
