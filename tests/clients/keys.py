"""Lists the API keys with the public client library pyomsdk and prints what it was told, as JSON.

Usage: keys.py URL PUBLIC-KEY PRIVATE-KEY ORGANIZATION-ID PROJECT-ID
"""

import json
import sys

from pyomsdk import OpsManagerClient
from pyomsdk.resources import (
    ApiKeysOnProjectsResource,
    GlobalAccessListResource,
    GlobalApiKeysResource,
    OrganizationApiKeysResource,
)

url, public_key, private_key, organization, project = sys.argv[1:]
client = OpsManagerClient(url, public_key, private_key)


def global_keys(page, envelope):
    query = GlobalApiKeysResource.GetAllQueryParams(page_num=page, items_per_page=500, envelope=envelope)
    return client.global_api_keys_resource.get_all(query)


def organization_keys():
    path = OrganizationApiKeysResource.GetAllPathParams(org_id=organization)
    return client.organization_api_keys_resource.get_all(path, OrganizationApiKeysResource.GetAllQueryParams())


def project_keys():
    path = ApiKeysOnProjectsResource.GetAllPathParams(project_id=project)
    return client.api_keys_on_projects_resource.get_all(path, ApiKeysOnProjectsResource.GetAllQueryParams())


def access_list():
    return client.global_access_list_resource.get_all_entries(GlobalAccessListResource.GetAllEntriesQueryParams())


told = {
    "plain": [global_keys(page, False) for page in (1, 2, 3)],
    "enveloped": [global_keys(page, True) for page in (1, 2, 3)],
    "organization": organization_keys(),
    "project": project_keys(),
    "access_list": access_list(),
}
json.dump(told, sys.stdout)
