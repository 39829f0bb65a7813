//! Generates constructors, setters and statements for a table's structs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Fields, GenericArgument, Ident, LitInt, LitStr,
    Path, PathArguments, Result, Type, parenthesized,
};

/// The options of `#[row(...)]` on a struct.
#[derive(Default)]
struct StructOptions {
    table: Option<Path>,
    row: Option<Path>,
    id: Option<Path>,
    conflict: Option<LitStr>,
    keep: Vec<Ident>,
    bare: bool,
    body: Option<Body>,
}

/// The struct of the fields that a body of a request may have.
struct Body {
    name: Ident,
    fields: Vec<Ident>,
}

/// The options of `#[row(...)]` on a field.
#[derive(Default)]
struct FieldOptions {
    default: Option<Expr>,
    or: Option<LitStr>,
    expected: bool,
    precision: Option<LitInt>,
    scale: Option<LitInt>,
}

struct Field {
    name: Ident,
    ty: Type,
    docs: Vec<Attribute>,
    options: FieldOptions,
}

impl Field {
    fn is(&self, wrapper: &str) -> bool {
        argument_of(&self.ty, wrapper).is_some()
    }

    /// Returns the column's name. A raw identifier such as `r#type` stands for `type`.
    fn column(&self) -> String {
        let name = self.name.to_string();
        name.strip_prefix("r#").unwrap_or(&name).to_owned()
    }
}

/// Returns the `T` of `wrapper<T>`.
fn argument_of<'t>(ty: &'t Type, wrapper: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(argument) if segment.ident == wrapper => Some(argument),
        _ => None,
    }
}

fn struct_options(input: &DeriveInput) -> Result<StructOptions> {
    let mut options = StructOptions::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("row"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table") {
                options.table = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("row") {
                options.row = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("id") {
                options.id = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("conflict") {
                options.conflict = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("bare") {
                options.bare = true;
            } else if meta.path.is_ident("keep") {
                let names;
                parenthesized!(names in meta.input);
                options.keep = names
                    .parse_terminated(Ident::parse_any, syn::Token![,])?
                    .into_iter()
                    .collect();
            } else if meta.path.is_ident("body") {
                let content;
                parenthesized!(content in meta.input);
                let name = content.parse()?;
                content.parse::<syn::Token![:]>()?;
                let fields = content.parse_terminated(Ident::parse_any, syn::Token![,])?;
                options.body = Some(Body {
                    name,
                    fields: fields.into_iter().collect(),
                });
            } else {
                let message = "the options of a struct are `table`, `row`, `id`, `conflict`, `keep`, `bare` and `body`";
                return Err(meta.error(message));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn fields_of(input: &DeriveInput) -> Result<Vec<Field>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "expected a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(input, "expected named fields"));
    };
    fields
        .named
        .iter()
        .map(|field| {
            let mut options = FieldOptions::default();
            for attribute in field
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("row"))
            {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("default") {
                        options.default = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("or") {
                        options.or = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("expected") {
                        options.expected = true;
                    } else if meta.path.is_ident("precision") {
                        options.precision = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("scale") {
                        options.scale = Some(meta.value()?.parse()?);
                    } else {
                        let message = "the options of a field are `default`, `or`, `expected`, \
                                       `precision` and `scale`";
                        return Err(meta.error(message));
                    }
                    Ok(())
                })?;
            }
            let name = field
                .ident
                .clone()
                .ok_or_else(|| Error::new_spanned(field, "expected a name"))?;
            let docs = field
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("doc"))
                .cloned()
                .collect();
            Ok(Field {
                name,
                ty: field.ty.clone(),
                docs,
                options,
            })
        })
        .collect()
}

fn required<T>(option: Option<T>, name: &str, of: &Ident) -> Result<T> {
    option.ok_or_else(|| {
        let message = format!("`{of}` needs the option `{name}`: #[row({name} = ...)]");
        Error::new_spanned(of, message)
    })
}

/// Refuses a field whose type is none of these wrappers.
fn expect_wrapped(fields: &[Field], wrappers: &[&str], others: &[&str], hint: &str) -> Result<()> {
    let is_plain =
        |ty: &Type, name: &str| matches!(ty, Type::Path(path) if path.path.is_ident(name));
    for field in fields {
        let is_wrapped = wrappers.iter().any(|wrapper| field.is(wrapper));
        if !is_wrapped && !others.iter().any(|other| is_plain(&field.ty, other)) {
            let message = format!("the field `{}` must be {hint}", field.name);
            return Err(Error::new_spanned(&field.ty, message));
        }
    }
    Ok(())
}

/// Generates a setter with the field's documentation. Its argument is any type that converts into
/// the field's, and for an `Option` also an `Option` of such a type.
fn setter(field: &Field) -> TokenStream {
    let Field { name, ty, docs, .. } = field;
    if let Some(inner) = argument_of(ty, "Option") {
        return quote! {
            #(#docs)*
            #[must_use]
            pub fn #name<Form>(mut self, #name: impl ::wundr_db::Optional<#inner, Form>) -> Self {
                self.#name = #name.into_option();
                self
            }
        };
    }
    quote! {
        #(#docs)*
        #[must_use]
        pub fn #name(mut self, #name: impl ::core::convert::Into<#ty>) -> Self {
            self.#name = #name.into();
            self
        }
    }
}

/// Generates the method `check`. The bounds of text columns come from `schema.rs`, the only place
/// that states them.
fn checks(table: &Path, fields: &[&Field]) -> TokenStream {
    let checks = fields.iter().map(|field| {
        let name = &field.name;
        let column = field.column();
        match (&field.options.precision, &field.options.scale) {
            (Some(precision), Some(scale)) => quote! {
                ::wundr_db::__private::validation::check_number(&self.#name, #column, #precision, #scale)?;
            },
            _ => quote! {
                ::wundr_db::__private::validation::check(&self.#name, #column, (&Limit::<#table::#name>::NEW).characters())?;
            },
        }
    });
    quote! {
        #[allow(unused_imports, clippy::needless_borrow)]
        fn check(&self) -> ::wundr_db::Result<()> {
            use ::wundr_db::__private::validation::{Limit, Limited as _, Unlimited as _};
            #(#checks)*
            ::core::result::Result::Ok(())
        }
    }
}

/// Generates the struct of the fields that a body of a request may have, and its conversion into
/// the new row. What the row needs besides is passed by code.
fn body_of(new: &Ident, body: &Body, fields: &[Field]) -> Result<TokenStream> {
    let is_named = |field: &&Field| {
        body.fields
            .iter()
            .any(|named| named.unraw() == field.column())
    };
    if let Some(unknown) = body
        .fields
        .iter()
        .find(|named| fields.iter().all(|field| named.unraw() != field.column()))
    {
        return Err(Error::new_spanned(unknown, "there is no such field"));
    }
    let is_required = |field: &&Field| !field.is("Option") && field.options.default.is_none();
    let declared = fields.iter().filter(is_named).map(|field| {
        let Field { name, ty, docs, .. } = field;
        let schema = ["Document", "Secret"].into_iter().any(|opaque| {
            let inner = argument_of(ty, "Option").unwrap_or(ty);
            matches!(inner, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == opaque))
        });
        let schema = match (schema, field.is("Option")) {
            (false, _) => TokenStream::new(),
            (true, true) => quote!(#[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]),
            (true, false) => quote!(#[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]),
        };
        quote!(#(#docs)* #schema pub #name: #ty)
    });
    let missing = fields
        .iter()
        .filter(is_required)
        .filter(|field| !is_named(field));
    let parameters =
        missing.map(|Field { name, ty, .. }| quote!(#name: impl ::core::convert::Into<#ty>));
    let arguments = fields.iter().filter(is_required).map(|field| {
        let name = &field.name;
        if is_named(&field) {
            quote!(self.#name)
        } else {
            quote!(#name)
        }
    });
    let optional = fields
        .iter()
        .filter(is_named)
        .filter(|field| !is_required(field));
    let optional = optional.map(|field| &field.name).collect::<Vec<_>>();
    let body = &body.name;
    let summary = format!(
        "The fields of a [`{new}`] that a body of a request may have. It has none that raises rights, and refuses unknown ones."
    );
    let conversion =
        format!("Creates the [`{new}`] from the fields, and from what a body does not decide.");
    Ok(quote! {
        #[doc = #summary]
        #[derive(Debug, Clone, PartialEq, ::serde::Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(::utoipa::ToSchema))]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct #body {
            #(#declared,)*
        }

        impl #body {
            #[doc = #conversion]
            #[must_use]
            pub fn into_new(self #(, #parameters)*) -> #new {
                let mut new = #new::new(#(#arguments),*);
                #(new.#optional = self.#optional;)*
                new
            }
        }
    })
}

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

pub fn changes(input: DeriveInput) -> Result<TokenStream> {
    let options = struct_options(&input)?;
    let table = required(options.table, "table", &input.ident)?;
    let row = required(options.row, "row", &input.ident)?;
    let id = required(options.id, "id", &input.ident)?;
    let (name, fields) = (&input.ident, fields_of(&input)?);
    let hint = "an `Option` if its column is NOT NULL, or a `Change` if it is nullable";
    expect_wrapped(&fields, &["Option", "Change"], &[], hint)?;
    let setters = fields.iter().map(setter);
    let expected = fields.iter().find(|field| field.options.expected);
    let changed = fields
        .iter()
        .filter(|field| !field.options.expected)
        .collect::<Vec<_>>();

    let columns = changed.iter().map(|field| {
        let (name, column) = (&field.name, field.column());
        quote! {
            ::wundr_db::__private::mapping::ChangedColumn {
                name: #column,
                cast: <::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::CAST,
            }
        }
    });
    let indices = 0..changed.len();
    let names = changed.iter().map(|field| &field.name).collect::<Vec<_>>();
    let encoded = changed.iter().map(|field| {
        let name = &field.name;
        let encoding = quote!(<::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::Sql);
        if field.is("Change") {
            encoding
        } else {
            quote!(::wundr_db::diesel::sql_types::Nullable<#encoding>)
        }
    });
    let expectation = match expected {
        Some(Field { name, .. }) => quote!(::core::option::Option::Some(&self.#name)),
        None => quote!(::core::option::Option::None),
    };
    let positions = 0..changed.len();
    let is_set = changed.iter().map(|field| {
        let name = &field.name;
        if field.is("Change") {
            quote!(self.#name.is_set())
        } else {
            quote!(self.#name.is_some())
        }
    });
    let check = checks(&table, &changed);
    Ok(quote! {
        impl #name {
            /// Creates changes without an assignment.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            #(#setters)*
        }

        impl ::wundr_db::__private::mapping::Changes for #name {
            type Row = #row;
            type Id = #id;
            type Table = #table::table;
            const COLUMNS: &'static [::wundr_db::__private::mapping::ChangedColumn] = &[#(#columns),*];

            fn is_set(&self, index: usize) -> bool {
                match index {
                    #(#positions => #is_set,)*
                    _ => false,
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

            fn expected(&self) -> ::core::option::Option<&::core::option::Option<::wundr_db::chrono::DateTime<::wundr_db::chrono::Utc>>> {
                #expectation
            }

            #check
        }
    })
}

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
