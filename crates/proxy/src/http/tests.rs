//! Real visitors, real programs, and the desk between them.

mod answers;
mod bodies;
mod h2;
mod heads;
mod house;
mod program;
mod raw;
mod replays;
mod time;
mod wakes;
mod websockets;
