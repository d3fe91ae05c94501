//! `ElectionService`: what an election has besides what every lock has.

use conclave_machine::{Kind, Machine};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::election_service_client::ElectionServiceClient;
use conclave_proto::v1::election_service_server::ElectionService;
use tonic::{Request, Response, Status};

use crate::convert::answer::{CallResult, DisplayClock};
use crate::convert::request::{self, unary_call};
use crate::convert::view;
use crate::edge::Edge;
use crate::services::call::decide;
use crate::services::{expect_kind, here};
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Elections {
    edge: Edge,
}

impl Elections {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn proclaim_here(
        &self,
        message: v1::ProclaimRequest,
    ) -> Result<v1::ProclaimResponse, Failure> {
        let v1::ProclaimRequest { key, seq, seen_through, proclaim } = message;
        let call = unary_call(key, seq, seen_through, proclaim.map(Op::Proclaim), "proclaim")?;
        match decide(&self.edge, call).await? {
            (CallResult::Proclaimed, at) => Ok(v1::ProclaimResponse { revision: at.get() }),
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn set_eligible_here(
        &self,
        message: v1::SetEligibleRequest,
    ) -> Result<v1::SetEligibleResponse, Failure> {
        let v1::SetEligibleRequest { key, seq, seen_through, set_eligible } = message;
        let op = set_eligible.map(Op::SetEligible);
        let call = unary_call(key, seq, seen_through, op, "set_eligible")?;
        match decide(&self.edge, call).await? {
            (CallResult::EligibleSet, at) => Ok(v1::SetEligibleResponse { revision: at.get() }),
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn get_election_here(
        &self,
        message: v1::GetElectionRequest,
    ) -> Result<v1::GetElectionResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let candidates_max = request::candidates_max(message.candidates_max)?;
        let query = move |machine: &Machine| {
            expect_kind(machine, &name, Kind::Election)?;
            Ok::<_, Failure>(machine.election(&name, candidates_max))
        };
        let answer = self.edge.read(Edge::consistency(message.stale), query).await?;
        Ok(v1::GetElectionResponse {
            election: Some(view::election(answer.value?.as_ref(), DisplayClock::now())),
            revision: answer.revision.get(),
        })
    }
}

#[tonic::async_trait]
impl ElectionService for Elections {
    async fn proclaim(
        &self,
        request: Request<v1::ProclaimRequest>,
    ) -> Result<Response<v1::ProclaimResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.proclaim_here(message),
                |channel, request| async move {
                    ElectionServiceClient::new(channel).proclaim(request).await
                },
            )
            .await
    }

    async fn set_eligible(
        &self,
        request: Request<v1::SetEligibleRequest>,
    ) -> Result<Response<v1::SetEligibleResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.set_eligible_here(message),
                |channel, request| async move {
                    ElectionServiceClient::new(channel).set_eligible(request).await
                },
            )
            .await
    }

    async fn get_election(
        &self,
        request: Request<v1::GetElectionRequest>,
    ) -> Result<Response<v1::GetElectionResponse>, Status> {
        if request.get_ref().stale {
            return here(self.get_election_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.get_election_here(message),
                |channel, request| async move {
                    ElectionServiceClient::new(channel).get_election(request).await
                },
            )
            .await
    }
}
