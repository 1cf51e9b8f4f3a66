//! The life of machines, seen from the API: what is promised for each call, and what is left after.

mod again;
mod begin;
mod capacity;
mod control;
mod destroy;
mod end;
mod inside;
mod logs;
mod owner;
mod reboot;
mod restart;
mod sleep;
mod update;
mod waiting;
