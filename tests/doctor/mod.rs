//! `sluicebox check` against set-ups that are broken one by one: it names what is wrong, and what it says repairs it.

mod guide;
mod kafka;
mod scene;
mod skewed;
mod warehouse;
