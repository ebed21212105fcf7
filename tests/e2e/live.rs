//! Live: server-sent events and Socket.IO, with clients that are not ours, across kills and stops of the server.

mod by_hand;
mod client;
mod crowd;
mod limit;
mod socket;
mod stream;
