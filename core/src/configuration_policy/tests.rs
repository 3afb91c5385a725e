//! Tests of configuration policies: what a document asks for, what a plan allows, what is signed.
