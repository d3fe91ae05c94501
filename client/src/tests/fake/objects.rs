//! The services of a fake that know values and followers: what is asked is answered from what the test put there; a stream of
//! changes is handed to the test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use conclave_proto::v1;
use conclave_proto::v1::election_service_server::ElectionService;
use conclave_proto::v1::object_service_server::ObjectService;
use conclave_proto::v1::watch_service_server::WatchService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Said<M> = mpsc::UnboundedSender<Result<M, Status>>;

/// What the unary calls answer.
#[derive(Debug, Default)]
pub(in crate::tests) struct Values {
    pub(in crate::tests) registers: HashMap<String, (u64, Vec<u8>)>,
    pub(in crate::tests) counters: HashMap<String, i64>,
    /// By name and version.
    pub(in crate::tests) results: HashMap<(String, u64), Vec<u8>>,
    pub(in crate::tests) election: v1::ElectionView,
}

/// The server's end of a stream of changes.
pub(in crate::tests) struct FakeFollow<R, M> {
    pub(in crate::tests) request: R,
    messages: Option<Said<M>>,
}

impl<R, M> FakeFollow<R, M> {
    pub(in crate::tests) fn say(&self, message: M) {
        // A client that has left hears nothing; the test sees that by what it awaits.
        let _ = self.messages.as_ref().expect("not cut").send(Ok(message));
    }

    /// Breaks the stream.
    pub(in crate::tests) fn cut(&mut self) {
        if let Some(messages) = self.messages.take() {
            let _ = messages.send(Err(Status::unavailable("cut by the test")));
        }
    }

    /// Ends it with a refusal.
    pub(in crate::tests) fn refuse(&self, status: Status) {
        let _ = self.messages.as_ref().expect("not cut").send(Err(status));
    }
}

pub(in crate::tests) type FakeWatch = FakeFollow<v1::WatchRequest, v1::WatchResponse>;
pub(in crate::tests) type FakeObservation = FakeFollow<v1::ObserveRequest, v1::ObserveResponse>;

#[derive(Clone)]
pub(super) struct Objects {
    pub(super) values: Arc<Mutex<Values>>,
    pub(super) watches: mpsc::UnboundedSender<FakeWatch>,
    pub(super) observations: mpsc::UnboundedSender<FakeObservation>,
}

impl Objects {
    fn values(&self) -> std::sync::MutexGuard<'_, Values> {
        self.values.lock().expect("no test panics in here")
    }
}

fn stream<M>() -> (Said<M>, UnboundedReceiverStream<Result<M, Status>>) {
    let (said, messages) = mpsc::unbounded_channel();
    (said, UnboundedReceiverStream::new(messages))
}

#[tonic::async_trait]
impl WatchService for Objects {
    type WatchStream = UnboundedReceiverStream<Result<v1::WatchResponse, Status>>;
    type ObserveStream = UnboundedReceiverStream<Result<v1::ObserveResponse, Status>>;

    async fn watch(&self, request: tonic::Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let (said, messages) = stream();
        // A test that has ended takes none.
        let _ =
            self.watches.send(FakeFollow { request: request.into_inner(), messages: Some(said) });
        Ok(Response::new(messages))
    }

    async fn observe(
        &self,
        request: tonic::Request<v1::ObserveRequest>,
    ) -> Answer<Self::ObserveStream> {
        let (said, messages) = stream();
        let _ = self
            .observations
            .send(FakeFollow { request: request.into_inner(), messages: Some(said) });
        Ok(Response::new(messages))
    }
}

#[tonic::async_trait]
impl ObjectService for Objects {
    async fn get_register(
        &self,
        request: tonic::Request<v1::GetRegisterRequest>,
    ) -> Answer<v1::GetRegisterResponse> {
        let found = self.values().registers.get(&request.get_ref().name).cloned();
        let exists = found.is_some();
        let (version, value) = found.unwrap_or_default();
        let bound_to = Some(1);
        Ok(Response::new(v1::GetRegisterResponse { exists, version, value, bound_to, revision: 1 }))
    }

    async fn get_counter(
        &self,
        request: tonic::Request<v1::GetCounterRequest>,
    ) -> Answer<v1::GetCounterResponse> {
        let found = self.values().counters.get(&request.get_ref().name).copied();
        let (exists, value) = (found.is_some(), found.unwrap_or_default());
        Ok(Response::new(v1::GetCounterResponse { exists, value, revision: 1 }))
    }

    async fn get_once_result(
        &self,
        request: tonic::Request<v1::GetOnceResultRequest>,
    ) -> Answer<v1::GetOnceResultResponse> {
        let v1::GetOnceResultRequest { name, version, .. } = request.into_inner();
        let found = self.values().results.get(&(name, version)).cloned();
        let (exists, value) = (found.is_some(), found.unwrap_or_default());
        Ok(Response::new(v1::GetOnceResultResponse { exists, version, value, revision: 1 }))
    }

    async fn edit(&self, _: tonic::Request<v1::EditRequest>) -> Answer<v1::EditResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn complete(
        &self,
        _: tonic::Request<v1::CompleteRequest>,
    ) -> Answer<v1::CompleteResponse> {
        Err(Status::unimplemented("not of this script"))
    }
}

#[tonic::async_trait]
impl ElectionService for Objects {
    async fn get_election(
        &self,
        _: tonic::Request<v1::GetElectionRequest>,
    ) -> Answer<v1::GetElectionResponse> {
        let election = Some(self.values().election.clone());
        Ok(Response::new(v1::GetElectionResponse { election, revision: 9 }))
    }

    async fn proclaim(
        &self,
        _: tonic::Request<v1::ProclaimRequest>,
    ) -> Answer<v1::ProclaimResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn set_eligible(
        &self,
        _: tonic::Request<v1::SetEligibleRequest>,
    ) -> Answer<v1::SetEligibleResponse> {
        Err(Status::unimplemented("not of this script"))
    }
}
