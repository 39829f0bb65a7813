//! Generates the constructor and the setters of a filter, for the derive `Filter`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Result};

use crate::row_options::{expect_wrapped, fields_of};
use crate::setters::setter;

pub fn filter(input: DeriveInput) -> Result<TokenStream> {
    let (name, fields) = (&input.ident, fields_of(&input)?);
    let hint = "an `Option`, a `Vec` or a `bool`, which match every row by default";
    expect_wrapped(&fields, &["Option", "Vec"], &["bool"], hint)?;
    let setters = fields.iter().map(setter);
    Ok(quote! {
        impl #name {
            /// Creates a filter that matches every row.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            #(#setters)*
        }

        /// A filter is parsed from a query string with its fields, such as `role=admin`.
        impl ::core::str::FromStr for #name {
            type Err = ::wundr_db::Error;

            fn from_str(query: &str) -> ::wundr_db::Result<Self> {
                ::wundr_db::__private::from_query(query)
            }
        }
    })
}
