//! The arguments of every component, compared with Alloy's: names, types, what is required, every default.

use sdk_testing::oracle::Group;
use sdk_testing::schema::compare_schema;

#[test]
fn arguments_and_defaults_are_alloys() {
    let mut group = Group::new("defaults");
    for definition in components::all() {
        let Some(differences) = compare_schema(&(definition.arguments)(), definition.name) else { continue };
        if differences.is_empty() {
            group.case(definition.name, None);
        }
        for difference in differences {
            let (path, _) = difference.split_once(':').expect("a difference begins with a path");
            group.case(&format!("{} {path}", definition.name), Some(difference.clone()));
        }
    }
    group.finish();
}
