//! What the namespace `/monitoring` shows: how it is going, every second while something changes.

use std::collections::HashMap;
use std::sync::Arc;

use domain::TenantId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Gateway;
use crate::access::Caller;
use crate::failure::Failure;
use crate::route::health::HealthApi;
use crate::route::statistics::StatisticsApi;
use crate::shape::health::Health;
use crate::shape::statistics::Summary;
use crate::state::State;

#[derive(Serialize)]
struct Update<'a> {
    summary: &'a Summary,
    health: &'a Health,
}

/// What was shown last, and to whom.
#[derive(Default)]
pub(super) struct Shown {
    by_tenant: HashMap<TenantId, Box<RawValue>>,
}

impl Shown {
    /// Shows each tenant's clients how it is going, unless they know.
    pub(super) async fn update(&mut self, state: &Arc<State>, gateway: &Gateway) {
        let members = gateway.monitoring.all();
        let mut by_tenant = HashMap::new();
        for member in members.iter() {
            let of_tenant: &mut Vec<_> = by_tenant.entry(member.pass.caller.tenant.clone()).or_default();
            of_tenant.push(Arc::clone(member));
        }
        self.by_tenant.retain(|tenant, _| by_tenant.contains_key(tenant));
        for (tenant, members) in by_tenant {
            let Some(first) = members.first() else {
                continue;
            };
            let now = match update(state, &first.pass.caller).await {
                Ok(now) => now,
                Err(error) => {
                    tracing::debug!(%error, %tenant, "no update for /monitoring now");
                    continue;
                }
            };
            let same = self
                .by_tenant
                .get(&tenant)
                .is_some_and(|last| last.get() == now.get());
            for member in members {
                let is_new = member.begins();
                if is_new || !same {
                    gateway.send(&gateway.monitoring, &member, "update", &now);
                }
            }
            self.by_tenant.insert(tenant, now);
        }
    }
}

async fn update(state: &Arc<State>, caller: &Caller) -> Result<Box<RawValue>, Failure> {
    let statistics = StatisticsApi {
        state: Arc::clone(state),
    };
    let health = HealthApi {
        state: Arc::clone(state),
    };
    let (statistics, health) = tokio::try_join!(statistics.of_today(caller), health.of_now(caller))?;
    let update = Update {
        summary: &statistics.summary,
        health: &health,
    };
    serde_json::value::to_raw_value(&update).map_err(crate::failure::unreadable)
}
