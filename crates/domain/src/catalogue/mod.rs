//! What senders are known to send. The sets are open: an unknown event is accepted and kept.
