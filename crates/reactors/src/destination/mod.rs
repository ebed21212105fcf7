//! Destinations: which deliveries they want, and how a delivery gets there.
