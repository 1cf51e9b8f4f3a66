//! Access tokens.

use crate::contract::shapes::CurrentTokens;
use crate::contract::{CreateToken, Ok, TokenCreated, TokenInfo};
use crate::v1::operation::{Operation, Right, delete, get, post};
use crate::v1::tokens;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/tokens", tokens::list)
            .is("Tokens_list", "List tokens, without their secrets.")
            .needs(Right::Owner)
            .answers::<Vec<TokenInfo>>(200),
        post("/v1/tokens", tokens::create)
            .is(
                "Tokens_create",
                "Make a token of no more than the caller's reach; shown this once.",
            )
            .sends::<CreateToken>()
            .answers::<TokenCreated>(201)
            .refuses(&[404]),
        get("/v1/tokens/current", tokens::current)
            .is("CurrentToken_show", "Show what the caller holds.")
            .needs(Right::Any)
            .answers::<CurrentTokens>(200),
        delete("/v1/tokens/{token}", tokens::revoke)
            .is("Tokens_revoke", "Withdraw a token.")
            .needs(Right::Owner)
            .answers::<Ok>(200),
    ]
}
