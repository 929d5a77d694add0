//! One engine that moves bytes between storage and training jobs.
