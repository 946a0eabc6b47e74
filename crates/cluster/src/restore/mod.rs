//! Restoring: a plan, and its application.
