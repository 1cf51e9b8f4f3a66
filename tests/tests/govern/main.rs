//! Machines that govern their own sleep, seen from outside and inside.
//!
//! Two times are fixed and cannot be shortened: a rest by rule comes 30 s after a start at the earliest, a
//! governed wake 5 s after a rest. Tests are built so that few wait for them: most machines here were never
//! up, and those of the fake engine cost nothing.

mod alarms;
mod api_inside;
mod api_outside;
mod api_writers;
mod bad_input;
mod brought;
mod clock;
mod core_plans;
mod crash;
mod desk;
mod dm_cli;
mod dm_words;
mod examples;
mod gates;
mod guests;
mod loops;
mod messages;
mod own_word;
mod passed_over;
mod peers;
mod permits;
mod rests;
mod unreadable;
mod words;
