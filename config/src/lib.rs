//! Where things live and what they are set to.
