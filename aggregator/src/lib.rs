//! Sextant's aggregator: takes in what agents send, stores it, finds what is wrong, and answers
//! questions.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`ingest`] | one session an agent: hello, frames, acks |
//! | [`pipeline`] | the shards: every frame's one road |
//! | [`catalog`], [`head`], [`series`] | which series there are, and their newest samples |
//! | [`detect`], [`episode`] | findings, and the anomalies made of them |
//! | [`incident`] | anomalies that belong together, and their probable cause |
//! | [`writer`], [`storage`] | the one thread that writes, and what it writes to |
//! | [`rehearsal`] | rules tried out on what is stored |
//! | [`query`], [`selector`], [`hub`] | the questions, and what happens as it happens |
//! | [`remedy`] | what an error means, and what to do |
//! | [`api`], [`exposition`], [`auth`] | gRPC, HTTP and who may use them |
//! | [`forward`] | what is sent on to other services |
//! | [`projection`] | the names that other tools made standard |
//! | [`cli`] | the terminal commands |
//! | [`app`], [`config`], [`health`], [`stats`] | start, stop, settings, own state |

pub mod api;
pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod detect;
pub mod episode;
pub mod exposition;
pub mod forward;
pub mod head;
pub mod health;
pub mod http_client;
pub mod hub;
pub mod in_flight;
pub mod incident;
pub mod ingest;
pub mod maintenance;
pub mod nodes;
pub mod pipeline;
pub mod process;
pub mod projection;
pub mod query;
pub mod rehearsal;
pub mod remedy;
pub mod selector;
pub mod series;
pub mod stats;
pub mod storage;
mod text_format;
pub mod writer;
