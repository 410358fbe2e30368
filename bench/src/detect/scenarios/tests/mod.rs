//! Of the generator, and of the product on it.

mod contract;
mod measure;
mod scene;
mod signatures;
