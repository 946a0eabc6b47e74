//! A model of docs/design/0002, checked exhaustively within bounds: the protocol loses nothing, and without any one of its rules it does.

mod collectors;
mod properties;
mod removals;
mod scopes;
mod steps;
mod world;
mod writers;
