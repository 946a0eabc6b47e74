//! Backing a cluster up: lists what the filters choose, stores what is new, and commits the snapshot.
