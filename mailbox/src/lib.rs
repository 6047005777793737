//! Mail in, mail out.
