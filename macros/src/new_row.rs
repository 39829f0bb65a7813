//! Generates what inserts a table's rows, for the derive `NewRow`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Ident, LitStr, Result};

use crate::body::body_of;
use crate::row_options::{Field, fields_of, required, struct_options};
use crate::setters::{checks, setter};

pub fn new_row(input: DeriveInput) -> Result<TokenStream> {
    let options = struct_options(&input)?;
    let (table, row) = (
        required(options.table, "table", &input.ident)?,
        required(options.row, "row", &input.ident)?,
    );
    let (name, fields) = (&input.ident, fields_of(&input)?);

    let is_required = |field: &&Field| !field.is("Option") && field.options.default.is_none();
    let parameters = fields
        .iter()
        .filter(is_required)
        .map(|Field { name, ty, .. }| quote!(#name: impl ::core::convert::Into<#ty>));
    let values = fields.iter().map(|field| {
        let name = &field.name;
        match &field.options.default {
            Some(value) => quote!(#name: #value),
            None if field.is("Option") => quote!(#name: ::core::option::Option::None),
            None => quote!(#name: #name.into()),
        }
    });
    let setters = fields
        .iter()
        .filter(|field| !is_required(field))
        .map(setter);

    // The columns of the conflict are equal already; otherwise there would be no conflict.
    let target = options.conflict.as_ref().map(LitStr::value);
    let target = target.unwrap_or_default();
    let target = target.trim_matches(['(', ')']).split(',').map(str::trim);
    let kept = options.keep.iter().map(Ident::to_string);
    let kept: Vec<String> = kept.chain(target.map(str::to_owned)).collect();
    // An `or` column accepts NULL on the wire, which stands for no value.
    let encodings = |sent: TokenStream| {
        fields
            .iter()
            .map(|field| {
                let name = &field.name;
                let encoding = quote!(<::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::#sent);
                match field.options.or {
                    Some(_) => quote!(::wundr_db::diesel::sql_types::Nullable<#encoding>),
                    None => encoding,
                }
            })
            .collect::<Vec<_>>()
    };
    let (encoded, in_array) = (encodings(quote!(Sql)), encodings(quote!(InArray)));
    let columns = fields.iter().zip(&in_array).map(|(field, in_array)| {
        let (name, column) = (&field.name, field.column());
        let default = match &field.options.or {
            Some(sql) => quote!(::core::option::Option::Some(#sql)),
            None => quote!(::core::option::Option::None),
        };
        let replaced = if kept.iter().any(|kept| name == kept) {
            quote!(Never)
        } else if field.is("Option") {
            quote!(IfGiven)
        } else {
            quote!(Always)
        };
        quote! {
            ::wundr_db::__private::mapping::Column {
                name: #column,
                cast: <::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::CAST,
                default: #default,
                replaced: ::wundr_db::__private::mapping::Replaced::#replaced,
                copied: <::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::COPIED,
                bind_array: ::wundr_db::__private::mapping::bind_array::<#in_array>,
            }
        }
    });
    let given = fields.iter().enumerate().filter_map(|(index, field)| {
        let (name, index) = (&field.name, syn::Index::from(index));
        let optional = field.options.or.is_some();
        optional.then(|| quote!(#index => self.#name.is_some(),))
    });
    let indices = (0..fields.len()).map(syn::Index::from).collect::<Vec<_>>();
    let names = fields.iter().map(|field| &field.name).collect::<Vec<_>>();
    let conflict = match &options.conflict {
        Some(target) => quote!(::core::option::Option::Some(#target)),
        None => quote!(::core::option::Option::None),
    };
    let check = checks(&table, &fields.iter().collect::<Vec<_>>());
    let constructors = if options.bare {
        TokenStream::new()
    } else {
        quote! {
            impl #name {
                /// Creates a row with its required columns. The setters add the others.
                #[must_use]
                #[allow(clippy::new_without_default, clippy::too_many_arguments)]
                pub fn new(#(#parameters),*) -> Self {
                    Self { #(#values),* }
                }

                #(#setters)*
            }
        }
    };
    let body = match &options.body {
        Some(body) => body_of(name, body, &fields)?,
        None => TokenStream::new(),
    };
    Ok(quote! {
        #constructors
        #body

        impl ::wundr_db::__private::mapping::NewRow for #name {
            type Row = #row;
            type Table = #table::table;
            const COLUMNS: &'static [::wundr_db::__private::mapping::Column] = &[#(#columns),*];
            const CONFLICT: ::core::option::Option<&'static str> = #conflict;

            #[allow(clippy::match_single_binding)]
            fn is_given(&self, index: usize) -> bool {
                match index {
                    #(#given)*
                    _ => true,
                }
            }

            fn bind<'b>(
                &'b self,
                index: usize,
                out: &mut ::wundr_db::diesel::query_builder::AstPass<'_, 'b, ::wundr_db::diesel::pg::Pg>,
            ) -> ::wundr_db::diesel::QueryResult<()> {
                match index {
                    #(#indices => out.push_bind_param::<#encoded, _>(&self.#names),)*
                    _ => ::core::result::Result::Ok(()),
                }
            }

            fn encode(
                &self,
                index: usize,
                out: &mut ::wundr_db::diesel::serialize::Output<'_, '_, ::wundr_db::diesel::pg::Pg>,
            ) -> ::wundr_db::diesel::serialize::Result {
                match index {
                    #(#indices => ::wundr_db::diesel::serialize::ToSql::<#in_array, ::wundr_db::diesel::pg::Pg>::to_sql(&self.#names, &mut out.reborrow()),)*
                    _ => ::core::result::Result::Ok(::wundr_db::diesel::serialize::IsNull::Yes),
                }
            }

            #check
        }
    })
}
