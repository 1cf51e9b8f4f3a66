//! Waiting for a future on a plain thread.
//!
//! The queue's futures need no runtime, and unlike tokio's own blocking calls this one may also be
//! used on a runtime's thread (during shutdown, in a destructor).

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The output of `future`; the thread sleeps until it is there.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A stray unpark only costs one more poll.
            Poll::Pending => thread::park(),
        }
    }
}
