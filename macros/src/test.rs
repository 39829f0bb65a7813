//! Gives a test its database.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser as _;
use syn::{Error, FnArg, ItemFn, Path, Result, parse2};

/// Returns the function after `prepare =`.
fn prepare_of(options: TokenStream) -> Result<Option<Path>> {
    let mut prepare = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("prepare") {
            return Err(meta.error("the only option is `prepare = FUNCTION`"));
        }
        prepare = Some(meta.value()?.parse()?);
        Ok(())
    });
    parser.parse2(options)?;
    Ok(prepare)
}

pub fn test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let prepare = prepare_of(options)?;
    let function: ItemFn = parse2(item)?;
    let signature = &function.sig;
    if !signature.generics.params.is_empty() {
        let message = "a test has no generic parameters";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Typed(argument) => types.push(&*argument.ty),
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(receiver, "a test has no `self`"));
            }
        }
    }
    let (name, output) = (&signature.ident, &signature.output);
    let is_async = signature.asyncness.is_some();
    let case = quote!(::wundr_db::__private::testing);
    let kind = match is_async {
        true => quote!(::wundr_db::testing::AsyncTest),
        false => quote!(::wundr_db::testing::BlockingTest),
    };
    let has_arguments = !types.is_empty();
    let needs = quote! {
        #case::Needs {
            database: #has_arguments,
            recorder: false #(|| <#types as ::wundr_db::testing::TestArgument<#kind>>::RECORDS)*,
        }
    };
    let begin = match &prepare {
        None => quote!(#case::begin(#needs)),
        Some(prepare) => {
            let path = quote!(#prepare).to_string();
            let prepared = match is_async {
                true => quote!(#case::block_on(#prepare(config))),
                false => quote!(#prepare(config)),
            };
            quote! {
                #case::begin_prepared(
                    #needs,
                    ::core::concat!(::core::module_path!(), " ", #path),
                    |config| #prepared,
                )
            }
        }
    };
    let arguments = types
        .iter()
        .map(|ty| quote!(#case::argument::<#kind, #ty>(&mut context)));
    let call = match is_async {
        true => quote! {
            let test = #name(#(#arguments),*);
            #case::run(&mut context, test)
        },
        false => quote!(#name(#(#arguments),*)),
    };
    let (attributes, visibility) = (&function.attrs, &function.vis);
    let mut body = function.clone();
    body.attrs.clear();
    body.vis = syn::Visibility::Inherited;
    Ok(quote! {
        #(#attributes)*
        #[::core::prelude::v1::test]
        #visibility fn #name() #output {
            #body
            #[allow(unused_mut, unused_variables)]
            let mut context = #begin;
            #call
        }
    })
}
