//! The services as a node answers them, and how its records look on the wire.

use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use futures_util::Stream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming, async_trait};
use uuid::Uuid;

use crate::fault::{Faults, count};
use crate::protocol::event_store::client::gossip::{
    ClusterInfo, EndPoint, MemberInfo, gossip_server, member_info,
};
use crate::protocol::event_store::client::server_features::{
    SupportedMethod, SupportedMethods, server_features_server,
};
use crate::protocol::event_store::client::streams::read_resp::read_event::RecordedEvent;
use crate::protocol::event_store::client::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq, ReadResp,
    TombstoneReq, TombstoneResp, streams_server,
};
use crate::protocol::event_store::client::{Empty, StreamIdentifier, Uuid as WireUuid, uuid as wire};
use crate::server::Login;
use crate::store::{Record, Store};
use crate::{append, batch, read};

/// One node of a cluster, as its services see it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) store: Arc<Store>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) login: Option<Login>,
    /// Ports of the nodes, the leader first.
    pub(crate) members: Vec<u16>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    /// Refuses who does not say the right name and password.
    fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        if metadata
            .get("requires-leader")
            .is_none_or(|value| value != "true")
        {
            count(&self.faults.counters.not_for_leader);
        }
        let Some(login) = &self.login else {
            return Ok(());
        };
        let plain = format!("{}:{}", login.user, login.password);
        let wanted = format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(plain)
        );
        match metadata.get("authorization") {
            Some(given) if given.as_bytes() == wanted.as_bytes() => Ok(()),
            Some(_) | None => Err(Status::unauthenticated("access denied")),
        }
    }
}

#[async_trait]
impl streams_server::Streams for Service {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        self.check(request.metadata())?;
        let answers = read::read(self, request.into_inner())?;
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append(&self, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
        self.check(request.metadata())?;
        append::append(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        self.check(request.metadata())?;
        let answers = batch::serve(self.clone(), request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn delete(&self, _request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        Err(Status::unimplemented("nobody who keeps a log deletes from it"))
    }

    async fn tombstone(&self, _request: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        Err(Status::unimplemented("nobody who keeps a log deletes from it"))
    }
}

#[async_trait]
impl server_features_server::ServerFeatures for Service {
    async fn get_supported_methods(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<SupportedMethods>, Status> {
        count(&self.faults.counters.features);
        let methods = ["append", "batchappend", "read"].map(|name| SupportedMethod {
            method_name: name.to_owned(),
            service_name: "event_store.client.streams.streams".to_owned(),
            features: Vec::new(),
        });
        Ok(Response::new(SupportedMethods {
            methods: methods.into(),
            event_store_server_version: "24.10.0".to_owned(),
        }))
    }
}

#[async_trait]
impl gossip_server::Gossip for Service {
    async fn read(&self, _request: Request<Empty>) -> Result<Response<ClusterInfo>, Status> {
        let state = |n: usize| match n {
            0 => member_info::VNodeState::Leader,
            _ => member_info::VNodeState::Follower,
        };
        let members = self.members.iter().enumerate().map(|(n, port)| MemberInfo {
            instance_id: Some(uuid_on_wire(Uuid::from_u128(n as u128 + 1))),
            time_stamp: 0,
            state: state(n).into(),
            is_alive: true,
            http_end_point: Some(EndPoint {
                address: "127.0.0.1".to_owned(),
                port: u32::from(*port),
            }),
        });
        Ok(Response::new(ClusterInfo {
            members: members.collect(),
        }))
    }
}

/// The refusal of a node that is not the leader, which says who is.
pub(crate) fn not_leader(port: u16) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("exception", MetadataValue::from_static("not-leader"));
    metadata.insert("leader-endpoint-host", MetadataValue::from_static("127.0.0.1"));
    metadata.insert("leader-endpoint-port", MetadataValue::from(port));
    Status::with_metadata(tonic::Code::NotFound, "leader info available", metadata)
}

pub(crate) fn wire_record(record: &Record) -> RecordedEvent {
    RecordedEvent {
        id: Some(WireUuid {
            value: Some(wire::Value::String(record.id.to_string())),
        }),
        stream_identifier: Some(identifier(&record.stream)),
        stream_revision: record.revision,
        prepare_position: record.position,
        commit_position: record.position,
        metadata: record.metadata.clone().into_iter().collect(),
        custom_metadata: record.custom_metadata.clone(),
        data: record.data.clone(),
    }
}

pub(crate) fn identifier(stream: &str) -> StreamIdentifier {
    StreamIdentifier {
        stream_name: stream.as_bytes().to_vec().into(),
    }
}

/// The name of a stream.
pub(crate) fn name(identifier: Option<StreamIdentifier>) -> Result<String, Status> {
    let bytes = identifier.map(|name| name.stream_name).unwrap_or_default();
    match String::from_utf8(bytes.to_vec()) {
        Ok(name) if !name.is_empty() => Ok(name),
        Ok(_) | Err(_) => Err(Status::invalid_argument("a stream needs a name")),
    }
}

/// A UUID as the protocol prefers it: two numbers.
pub(crate) fn uuid_on_wire(id: Uuid) -> WireUuid {
    let (most, least) = id.as_u64_pair();
    WireUuid {
        value: Some(wire::Value::Structured(wire::Structured {
            most_significant_bits: most.cast_signed(),
            least_significant_bits: least.cast_signed(),
        })),
    }
}

/// The UUID in either of its forms.
pub(crate) fn wire_uuid(id: WireUuid) -> Option<Uuid> {
    match id.value? {
        wire::Value::String(text) => text.parse().ok(),
        wire::Value::Structured(two) => Some(Uuid::from_u64_pair(
            two.most_significant_bits.cast_unsigned(),
            two.least_significant_bits.cast_unsigned(),
        )),
    }
}
