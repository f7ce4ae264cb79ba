//! Flows through the whole daemon, against real servers. One file a subject.

mod seen;
