//! Compiles the source of one repository for two engines.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::Parser as _;
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, Item, ItemImpl, ItemTrait, LitStr, Pat,
    Result, ReturnType, Signature, TraitItem, TraitItemFn, Type, parenthesized, parse_quote,
    parse2,
};

use crate::boxing::{box_future, lifetime_of, without_async};

/// The mark of a method that exists only in the async engine.
const ASYNCHRONOUS_ONLY: &str = "asynchronous_only";

/// The mark of a method of an `impl` that stays an `async fn` in the async engine.
const UNBOXED: &str = "unboxed";

/// The options of the attribute.
#[derive(Default)]
struct Options {
    /// The methods of an `impl` are observed.
    observed: bool,
    /// The first part of the names of observed calls, if it is not that of the type.
    observed_as: Option<LitStr>,
    /// Each method of the trait is written or passed on by name.
    exhaustive: bool,
    /// The methods that are passed on to the inner repository.
    passed: Vec<Ident>,
}

impl Options {
    fn parse(options: TokenStream) -> Result<Self> {
        let mut parsed = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("observed") {
                parsed.observed = true;
                if meta.input.peek(syn::Token![=]) {
                    let name: LitStr = meta.value()?.parse()?;
                    if name.value().is_empty() {
                        return Err(Error::new_spanned(name, "the name is empty"));
                    }
                    parsed.observed_as = Some(name);
                }
            } else if meta.path.is_ident("exhaustive") {
                parsed.exhaustive = true;
            } else if meta.path.is_ident("pass") {
                let names;
                parenthesized!(names in meta.input);
                let names =
                    names.parse_terminated(<Ident as syn::parse::Parse>::parse, syn::Token![,])?;
                parsed.passed.extend(names);
            } else {
                let message = "the options are `exhaustive`, `pass(METHOD, ...)` and `observed`";
                return Err(meta.error(message));
            }
            Ok(())
        });
        parser.parse2(options)?;
        if let (false, Some(name)) = (parsed.exhaustive, parsed.passed.first()) {
            let message = "`pass` needs `exhaustive`: every other method is passed on anyway";
            return Err(Error::new_spanned(name, message));
        }
        Ok(parsed)
    }

    /// Refuses options where they have no meaning.
    fn expect_none(&self, item: &str) -> Result<()> {
        let given = [("exhaustive", self.exhaustive), ("observed", self.observed)];
        if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
            let message = format!("`{option}` is an option of an implementation, not of {item}");
            return Err(Error::new(Span::call_site(), message));
        }
        Ok(())
    }

    /// Returns the first part of the names of the calls, if they are observed.
    fn collection_of(&self, r#type: &Type) -> Option<String> {
        let named = self.observed_as.as_ref().map(LitStr::value);
        self.observed
            .then(|| named.unwrap_or_else(|| collection_of(r#type)))
    }
}

/// Returns a check that an implementation writes or passes on each method of its trait. `None` if
/// it is not exhaustive.
///
/// The macro does not have the trait: the methods' names are a constant of the trait object's type.
fn exhaustive(options: &Options, item: &ItemImpl) -> Result<Option<TokenStream>> {
    if !options.exhaustive {
        return Ok(None);
    }
    let Some((_, path, _)) = &item.trait_ else {
        let message = "`exhaustive` is an option of an implementation of a trait";
        return Err(Error::new_spanned(&item.self_ty, message));
    };
    let methods = item.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    });
    let written: Vec<_> = methods
        .clone()
        .map(|method| method.sig.ident.to_string())
        .collect();
    // A method that is compiled under a condition is written under the same condition: otherwise
    // the trait's own, which passes on, would silently take its place.
    let written_if_compiled: Vec<_> = methods
        .map(|method| {
            let name = method.sig.ident.to_string();
            let is_condition = |attribute: &&Attribute| {
                ["cfg", "cfg_attr"]
                    .iter()
                    .any(|mark| attribute.path().is_ident(mark))
            };
            let conditions = method.attrs.iter().filter(is_condition);
            quote!(#(#conditions)* #name)
        })
        .collect();
    let has_inner = written.iter().any(|name| name == "inner");
    if let (false, Some(name)) = (has_inner, options.passed.first()) {
        let message = "a method that is passed on needs `fn inner`, which returns the repository";
        return Err(Error::new_spanned(name, message));
    }
    let twice = options
        .passed
        .iter()
        .find(|name| written.contains(&name.to_string()));
    if let Some(name) = twice {
        let message = "the method is written and also passed on";
        return Err(Error::new_spanned(name, message));
    }
    let passed = options.passed.iter().map(Ident::to_string);
    let ends = path
        .segments
        .last()
        .map(|segment| segment.ident.to_string());
    let name = ends.unwrap_or_default();
    Ok(Some(quote! {
        const _: () = ::wundr_db::__private::exhaustive::check(
            #name,
            <dyn #path>::METHODS,
            <dyn #path>::METHODS_OF_THE_OTHER_ENGINE,
            &[#(#written_if_compiled),*],
            &[#(#passed),*],
        );
    }))
}

/// Returns the names of a trait's methods, as constants of the trait object's type.
fn names_of_methods(item: &ItemTrait, others: &[String]) -> TokenStream {
    let name = &item.ident;
    let methods = item.items.iter().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    quote! {
        #[doc(hidden)]
        #[allow(dead_code)]
        impl dyn #name {
            #[doc(hidden)]
            pub const METHODS: &'static [&'static str] = &[#(#methods),*];
            #[doc(hidden)]
            pub const METHODS_OF_THE_OTHER_ENGINE: &'static [&'static str] = &[#(#others),*];
        }
    }
}

pub fn asynchronous(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    match parse2(item)? {
        Item::Trait(mut item) => {
            options.expect_none("a trait")?;
            let names = names_of_methods(&item, &[]);
            forward_to_inner(&mut item, Flavour::Asynchronous)?;
            for method in methods_of(&mut item) {
                remove_marks(&mut method.attrs);
                if let Some(body) = &mut method.default {
                    box_future(&mut method.sig, body, None, false)?;
                }
            }
            Ok(quote!(#item #names))
        }
        Item::Impl(mut item) => {
            let exhaustive = exhaustive(&options, &item)?;
            let own = lifetime_of(&item.self_ty);
            let is_generic = item.trait_.is_none();
            let collection = options.collection_of(&item.self_ty);
            for method in item.items.iter_mut() {
                let ImplItem::Fn(method) = method else {
                    continue;
                };
                let is_unboxed = has_mark(&method.attrs, UNBOXED);
                remove_marks(&mut method.attrs);
                if is_unboxed {
                    continue;
                }
                let is_call = method.sig.asyncness.is_some();
                let is_stream = returns_stream(&method.sig);
                box_future(&mut method.sig, &mut method.block, own.as_ref(), is_generic)?;
                let Some(collection) = collection.as_ref().filter(|_| is_call || is_stream) else {
                    continue;
                };
                let (call, body) = (call_of(method, collection), &method.block);
                method.block = match is_call {
                    true => parse_quote!({
                        let call = #call;
                        ::wundr_db::__private::observation::observed(call, #body)
                    }),
                    false => parse_quote!({
                        let call = #call;
                        ::wundr_db::RowStream::observed(#body, call)
                    }),
                };
            }
            Ok(quote!(#item #exhaustive))
        }
        other => {
            options.expect_none("this item")?;
            Ok(quote!(#other))
        }
    }
}

pub fn blocking(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    match parse2(item)? {
        Item::Trait(mut item) => {
            options.expect_none("a trait")?;
            let asynchronous_only: Vec<_> = methods_of(&mut item)
                .filter(|method| has_mark(&method.attrs, ASYNCHRONOUS_ONLY))
                .map(|method| method.sig.ident.to_string())
                .collect();
            item.items.retain(|method| !matches!(method, TraitItem::Fn(method) if has_mark(&method.attrs, ASYNCHRONOUS_ONLY)));
            let names = names_of_methods(&item, &asynchronous_only);
            forward_to_inner(&mut item, Flavour::Blocking)?;
            let item = without_async(quote!(#item));
            Ok(quote!(#item #names))
        }
        Item::Impl(mut item) => {
            item.items.retain(|method| !matches!(method, ImplItem::Fn(method) if has_mark(&method.attrs, ASYNCHRONOUS_ONLY)));
            let exhaustive = exhaustive(&options, &item)?;
            let collection = options.collection_of(&item.self_ty);
            for method in item.items.iter_mut() {
                let ImplItem::Fn(method) = method else {
                    continue;
                };
                remove_marks(&mut method.attrs);
                if let Some(collection) = collection.as_ref()
                    && method.sig.asyncness.is_some()
                {
                    let (call, body) = (call_of(method, collection), &method.block);
                    let output = match &method.sig.output {
                        ReturnType::Default => quote!(()),
                        ReturnType::Type(_, output) => quote!(#output),
                    };
                    method.block = parse_quote!({
                        let call = #call;
                        let work = move || -> #output { #body };
                        ::wundr_db::__private::observation::observed_now(call, work)
                    });
                }
            }
            let item = without_async(quote!(#item));
            Ok(quote!(#item #exhaustive))
        }
        other => {
            options.expect_none("this item")?;
            Ok(without_async(quote!(#other)))
        }
    }
}

/// Returns the call that observes a method. The calls of a cached repository have spans of their
/// own, around those of the repository in the database.
fn call_of(method: &ImplItemFn, collection: &str) -> TokenStream {
    let name = method.sig.ident.to_string();
    let cached = ["cached_", "aging_"];
    let cached = cached.iter().find_map(|kind| collection.strip_prefix(kind));
    let (collection, summary, begin) = match cached {
        Some(collection) => (
            collection,
            format!("cached.{collection}.{name}"),
            quote!(begin_cached),
        ),
        None => (collection, format!("{collection}.{name}"), quote!(begin)),
    };
    quote!(self.0.observer().#begin(::wundr_db::__private::observation::Method {
        collection: #collection,
        name: #name,
        summary: #summary,
    }))
}

/// Checks whether a method returns a `RowStream`.
fn returns_stream(signature: &Signature) -> bool {
    let ReturnType::Type(_, output) = &signature.output else {
        return false;
    };
    let Type::Path(path) = &**output else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|segment| segment.ident == "RowStream")
}

/// Returns the name of the table or view of a repository: `analysis_issues` of
/// `AnalysisIssues<'_>`, `project_stats` of `ProjectStatsView<'_>`.
fn collection_of(r#type: &Type) -> String {
    let Type::Path(path) = r#type else {
        return String::new();
    };
    let Some(segment) = path.path.segments.last() else {
        return String::new();
    };
    let mut name = String::new();
    for character in segment.ident.to_string().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name.trim_end_matches("_view").to_owned()
}

#[derive(Clone, Copy, PartialEq)]
enum Flavour {
    Asynchronous,
    Blocking,
}

fn has_mark(attributes: &[Attribute], mark: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident(mark))
}

/// Removes the marks, which rustc does not know.
fn remove_marks(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| {
        !attribute.path().is_ident(ASYNCHRONOUS_ONLY) && !attribute.path().is_ident(UNBOXED)
    });
}

fn methods_of(item: &mut ItemTrait) -> impl Iterator<Item = &mut TraitItemFn> {
    item.items.iter_mut().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// Gives every method without a body one that calls the inner repository, and adds the method
/// `inner`.
fn forward_to_inner(item: &mut ItemTrait, flavour: Flavour) -> Result<()> {
    let name = item.ident.clone();
    for method in methods_of(item).filter(|method| method.default.is_none()) {
        let function = &method.sig.ident;
        let arguments = argument_names(&method.sig)?;
        let path = format!("{name}::{function}");
        let awaited = method.sig.asyncness.map(|_| quote!(.await));
        let refusal = match method.sig.asyncness {
            None if flavour == Flavour::Asynchronous => {
                quote!(::wundr_db::RowStream::failed(error))
            }
            _ => quote!(::core::result::Result::Err(error)),
        };
        method.default = Some(parse_quote!({
            match self.inner() {
                ::core::option::Option::Some(inner) => inner.#function(#(#arguments),*) #awaited,
                ::core::option::Option::None => {
                    let error = ::wundr_db::Error::Unsupported { method: #path };
                    #refusal
                }
            }
        }));
        method.semi_token = None;
    }
    let doc = "Returns the inner repository of a decorator.\n\n\
         Methods that the decorator does not implement call it. Without an inner repository, such a method \
         returns `Error::Unsupported` with the method's name. So a test double \
         implements only the methods that its test needs.";
    item.items.push(parse_quote! {
        #[doc = #doc]
        fn inner(&self) -> ::core::option::Option<&dyn #name> {
            ::core::option::Option::None
        }
    });
    Ok(())
}

fn argument_names(signature: &Signature) -> Result<Vec<TokenStream>> {
    signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Receiver(_) => None,
            FnArg::Typed(argument) => Some(match &*argument.pat {
                Pat::Ident(name) => {
                    let name = &name.ident;
                    Ok(quote!(#name))
                }
                other => Err(Error::new_spanned(other, "expected a plain argument name")),
            }),
        })
        .collect()
}
