//! The client API's messages and services, generated from `node/proto` at build time.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

/// Keys and values.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Requests, responses and services.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}
